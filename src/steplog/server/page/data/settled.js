// What a signal comes to while it is changed by a gesture: the first change at once, of others the last one.

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
