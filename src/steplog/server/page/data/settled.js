// What signals come to: while one is changed by a gesture, the first change at once, of others the last one; and when
// something is so.

import { effect, signal } from "../ui.js";

/** A signal that follows another one: `{value: signal, stop}`. A change within `ms` of another one waits that long. */
export function settled(source, ms) {
  const value = signal(source.peek());
  let [timer, changed] = [null, -Infinity];
  const end = effect(() => {
    const now = source.value;
    if (now === value.peek()) return;
    const isFirst = performance.now() - changed > ms || now === null;
    changed = performance.now();
    clearTimeout(timer);
    if (isFirst) value.value = now;
    else timer = setTimeout(() => (value.value = now), ms);
  });
  const stop = () => {
    end();
    clearTimeout(timer);
  };
  return { value, stop };
}

/** Resolves once a function of signals gives something true. */
export async function until(holds) {
  let end;
  await new Promise((done) => (end = effect(() => void (holds() && done()))));
  end();
}
