// The colour scheme, the list of pages on a narrow screen, and the heading that is being read.

const root = document.documentElement;
const SCHEMES = ["auto", "light", "dark"];
const NAMES = { auto: "automatic", light: "light", dark: "dark" };

function setUpScheme() {
  const button = document.getElementById("site-scheme");
  const show = () => button.setAttribute("aria-label", `Colours: ${NAMES[root.dataset.scheme] ?? NAMES.auto}`);
  button.hidden = false;
  show();
  button.addEventListener("click", () => {
    const next = SCHEMES[(SCHEMES.indexOf(root.dataset.scheme) + 1) % SCHEMES.length];
    root.dataset.scheme = next;
    try {
      localStorage.setItem("scheme", next);
    } catch {
      // storage is switched off: it holds for this page
    }
    show();
  });
}

function setUpMenu() {
  const button = document.getElementById("site-menu");
  const pages = document.getElementById("site-pages");
  const open = (isOpen) => {
    button.setAttribute("aria-expanded", String(isOpen));
    pages.classList.toggle("open", isOpen);
  };
  button.addEventListener("click", () => open(button.getAttribute("aria-expanded") !== "true"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && pages.classList.contains("open")) {
      open(false);
      button.focus();
    }
  });
  const current = pages.querySelector("[aria-current]");
  if (current && pages.scrollHeight > pages.clientHeight) {
    pages.scrollTop = Math.max(0, current.offsetTop - pages.clientHeight / 3);
  }
}

function setUpHeadings() {
  const links = new Map();
  for (const link of document.querySelectorAll("#site-headings a")) {
    links.set(decodeURIComponent(link.hash.slice(1)), link);
  }
  const headings = [...document.querySelectorAll("main :is(h2, h3)[id]")].filter((heading) => links.has(heading.id));
  if (!headings.length) return;
  const mark = () => {
    const read = headings.filter((heading) => heading.getBoundingClientRect().top < 120).at(-1) ?? headings[0];
    for (const [id, link] of links) link.toggleAttribute("data-read", id === read.id);
  };
  new IntersectionObserver(mark, { rootMargin: "-110px 0px -60% 0px" }).observe(headings[0]);
  document.addEventListener("scroll", () => requestAnimationFrame(mark), { passive: true });
  mark();
}

setUpScheme();
setUpMenu();
setUpHeadings();
