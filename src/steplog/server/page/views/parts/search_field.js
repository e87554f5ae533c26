// A field to search by: it tells after a short rest, at once by Enter, and says what is wrong with its text.

import { html, useEffect, useId, useRef } from "../../ui.js";
import { Icon } from "./icon.js";

const TYPING_MS = 120;

/** `wrong`: what is wrong with the text, "" if nothing. `element` is a ref of the input. */
export function SearchField({ label, value, placeholder, wrong = "", onInput, element, class: more = "", ...rest }) {
  const id = useId();
  const own = useRef(null);
  const input = element ?? own;
  const timer = useRef(0);
  const told = useRef(value);
  useEffect(() => {
    if (value !== told.current) input.current.value = told.current = value;
  }, [value]);
  const tell = () => {
    clearTimeout(timer.current);
    told.current = input.current.value;
    onInput(told.current);
  };
  const typed = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(tell, TYPING_MS);
  };
  return html`
    <div class="search ${more}">
      <${Icon} name="search" />
      <input type="search" ref=${input} defaultValue=${value} placeholder=${placeholder ?? label} aria-label=${label}
        spellcheck="false"
        autocomplete="off" autocapitalize="off" aria-invalid=${wrong ? "true" : undefined}
        aria-describedby=${wrong ? id : undefined} onInput=${typed} onChange=${tell} ...${rest} />
      <p class="wrong" id=${id} role="status">${wrong}</p>
    </div>
  `;
}
