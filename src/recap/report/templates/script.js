// Filters of the gallery, and the current section in the navigation. The page is whole without it.
for (const form of document.querySelectorAll("form.filters")) {
  const gallery = form.closest("section");
  const apply = () => {
    const chosen = new FormData(form);
    for (const group of gallery.querySelectorAll(".group")) {
      let shown = 0;
      for (const card of group.querySelectorAll(".card")) {
        const hidden = ["part", "verdict"].some(
          (key) => chosen.get(key) && chosen.get(key) !== card.dataset[key],
        );
        card.hidden = hidden;
        shown += !hidden;
      }
      group.querySelector(".empty").hidden = shown > 0;
    }
    const decoders = new Set(chosen.getAll("decoder"));
    for (const caption of gallery.querySelectorAll("[data-decoder]")) {
      caption.hidden = !decoders.has(caption.dataset.decoder);
    }
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}

const links = new Map(
  [...document.querySelectorAll("nav a")].map((link) => [link.getAttribute("href").slice(1), link]),
);
const observer = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  },
  { rootMargin: "-20% 0px -75% 0px" },
);
for (const section of document.querySelectorAll("main > section[id]")) observer.observe(section);
