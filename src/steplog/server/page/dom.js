// DOM elements without parsing markup: children that are not elements become text nodes.

/** Create an element; a function as attribute is an event listener, null or false is left out. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...present(children));
  return made;
}

/** Replace an element's children. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Make an element's children these, in order; what stays is not taken out, and keeps the focus. */
export function arrange(element, children) {
  const wanted = new Set(children);
  for (const child of [...element.children]) if (!wanted.has(child)) child.remove();
  let at = element.firstElementChild;
  for (const child of children) {
    if (child === at) at = at.nextElementSibling;
    else element.insertBefore(child, at);
  }
}

/** Set an element's text, if it differs. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const present = (children) => children.flat().filter((child) => child !== null && child !== undefined && child !== false);
