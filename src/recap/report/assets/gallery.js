// The gallery: search, filter and sort the scored images, a page of cards at a time; one of them enlarged.
// What is chosen stands in the address, "#gallery?words=red&sort=worst", so that it can be sent to others.
const PAGE = 30; // fills rows of 5, 3 or 2 cards, the report's and the comparison's
const gallery = document.getElementById("gallery");
const form = gallery.querySelector("form");
const pager = gallery.querySelector(".pager");
const dialog = gallery.querySelector("dialog");
const { images, decoders, parts } = JSON.parse(document.getElementById("gallery-data").textContent);
const boxes = [...form.querySelectorAll("[name=decoder]")];
let found = [];
let page = 0;
let enlarged = null;

const lower = (text) => ` ${text.toLowerCase()}`;
const sentence = (caption) => caption.words.map(([word]) => word).join(" ");
for (const image of images) {
  for (const caption of Object.values(image.captions)) caption.text = lower(sentence(caption));
  image.told = lower(image.references.join(" "));
}

const chosen = () => (boxes.length ? boxes.filter((box) => box.checked).map((box) => box.value) : Object.keys(decoders));
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
const score = (image, names) => mean(names.map((name) => image.captions[name].score));

// The share of their words that two captions do not have in common, over all pairs.
function disagreement(image, names) {
  const words = names.map((name) => new Set(image.captions[name].words.map(([word]) => word)));
  const pairs = words.flatMap((own, index) => words.slice(index + 1).map((other) => [own, other]));
  return mean(pairs.map(([own, other]) => {
    const common = [...own].filter((word) => other.has(word)).length;
    return 1 - common / (own.size + other.size - common || 1);
  }));
}

function search() {
  const names = chosen();
  const value = (name) => form.elements[name]?.value ?? "";
  const words = value("words").split(/\s+/).filter(Boolean).map(lower);
  found = images.filter((image) => {
    const truths = names.map((name) => image.captions[name].truth);
    const texts = [image.told, ...names.map((name) => image.captions[name].text)];
    return words.every((word) => texts.some((text) => text.includes(word)) || word === ` ${image.id}`)
      && (!value("part") || value("part") === image.part)
      && (!value("verdict") || (value("verdict") === "true") === truths.every(Boolean));
  });
  const of = (image, side) => score(image, names.filter((name) => name.endsWith(side)));
  const lost = (image) => of(image, "-this") - of(image, "-base"); // of two pipelines
  const keys = {
    best: (image) => -score(image, names),
    worst: (image) => score(image, names),
    disagreement: (image) => -disagreement(image, names),
    gained: (image) => -lost(image),
    lost,
  };
  const key = keys[value("sort")];
  if (key) {
    const ranks = new Map(found.map((image) => [image, key(image)]));
    found.sort((a, b) => ranks.get(a) - ranks.get(b));
  }
}

function picture(image) {
  if (image.picture) {
    const { uri, width, height, pixelated } = image.picture;
    return make("img", { src: uri, width, height, alt: `Image ${image.id}`, class: pixelated ? "pixelated" : null });
  }
  return make("p", { class: "imageless" }, `Image ${image.id}${image.reason ? ` (${image.reason})` : ""}`);
}

// Where a photograph comes from, and under which licence.
function credit(image) {
  if (!image.url) return null;
  const link = (href, text) => (href ? make("a", { href, rel: "noreferrer noopener" }, text) : text);
  const terms = image.license ? [", ", link(image.license_url, image.license)] : [];
  return make("p", { class: "credit" }, link(image.url, image.picture ? "Photograph" : `Photograph at ${new URL(image.url).host}`), ...terms);
}

function captions(image) {
  const list = make("ul", { class: "captions" });
  for (const name of chosen()) {
    const { words, truth, failed, score } = image.captions[name];
    const by = make("p", { class: "by" }, make("span", { class: "name" }, decoders[name]), " ");
    if (truth !== null) by.append(make("span", { class: `verdict ${truth}` }, truth ? "✓ true" : "✗ false"), " ");
    by.append(make("span", { class: "score", title: "CIDEr-D" }, score.toFixed(2)));
    const said = make("p", { class: "said" });
    for (const [word, percent] of words) {
      const known = percent !== null;
      const style = known ? `--p: ${percent / 100}` : null;
      const small = known ? make("small", {}, `${percent} %`) : null;
      said.append(make("span", { class: "word", style, title: known ? `${percent} %` : null }, word, small), " ");
    }
    if (!words.length) said.append("(no word)");
    const wrong = failed.length ? `wrong: ${failed.join(", ")}` : truth === false ? "says nothing that could be checked" : "";
    list.append(make("li", { class: `decoder-${name}` }, by, said, wrong ? make("p", { class: "failed" }, wrong) : null));
  }
  return list;
}

// What a beam liked less, each with its log-probability, below the caption that it chose; null without any.
function runnersUp(image) {
  const names = chosen().filter((name) => image.captions[name].runners_up.length);
  const line = (text, log, css) => make("li", { class: css }, make("span", {}, text), " ", make("span", { class: "score" }, log.toFixed(1).replace("-", "−")));
  const lists = names.map((name) => {
    const { words, log_probability: log, runners_up: others } = image.captions[name];
    const lines = [line(sentence({ words }), log, "first"), ...others.map(([text, own]) => line(text, own, null))];
    return make("li", { class: `decoder-${name}` }, make("p", { class: "by" }, make("span", { class: "name" }, decoders[name])), make("ol", {}, ...lines));
  });
  return lists.length ? make("ul", { class: "captions runners-up" }, ...lists) : null;
}

function references(image) {
  return make("ul", { class: "references" }, ...image.references.map((text) => make("li", {}, text)));
}

function card(image) {
  const seen = image.picture || image.reason || !image.url;
  const link = seen && make("a", { class: "look", href: address({ image: image.id }) }, picture(image));
  const title = make("p", { class: "number" }, make("a", { href: address({ image: image.id }) }, `Image ${image.id}`));
  if (Object.keys(parts).length > 1) title.append(make("span", { class: "of" }, parts[image.part]));
  const folded = make("details", {}, make("summary", {}, "References"), references(image));
  const others = runnersUp(image);
  const more = others && make("details", {}, make("summary", { title: "What the search liked less, with log-probabilities" }, "Runners-up"), others);
  return make("article", { class: seen ? "card" : "card unseen" }, link || null, title, credit(image), captions(image), folded, more);
}

function show() {
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  const first = page * PAGE;
  const shown = found.slice(first, first + PAGE);
  gallery.querySelector(".cards").replaceChildren(...shown.map(card));
  pager.querySelector("p").textContent = found.length ? `${first + 1} to ${first + shown.length} of ${found.length}` : "No image fits.";
  pager.querySelector("[data-step='-1']").disabled = page === 0;
  pager.querySelector("[data-step='1']").disabled = page === pages - 1;
}

// What is chosen as an address; what is as at first is left out.
function address(more = {}) {
  const state = new URLSearchParams();
  for (const name of ["words", "part", "verdict", "sort"]) {
    if (form.elements[name]?.value) state.set(name, form.elements[name].value);
  }
  if (chosen().length < Object.keys(decoders).length) state.set("decoders", chosen().join(" "));
  if (page) state.set("page", page + 1);
  for (const [key, value] of Object.entries(more)) state.set(key, value);
  return state.size ? `#gallery?${state}` : "#gallery";
}

function remember(more) {
  try {
    history.replaceState(null, "", address(more));
  } catch {
    // In a frame that shows the page without an address of its own there is nothing to keep.
  }
}

function enlarge(image) {
  enlarged = image;
  dialog.querySelector("h3").textContent = `Image ${image.id}`;
  const where = Object.keys(parts).length > 1 ? make("p", { class: "note" }, parts[image.part]) : null;
  dialog.querySelector(".enlarged").replaceChildren(
    make("div", { class: "whole" }, picture(image), credit(image), where),
    make("div", {}, captions(image), make("h4", {}, "References"), references(image)),
  );
  const others = runnersUp(image);
  if (others) dialog.querySelector(".enlarged > :last-child").append(make("h4", {}, "The beam’s captions, best first by its score of length and log-probability; their log-probabilities"), others);
  const place = found.indexOf(image);
  for (const button of dialog.querySelectorAll("[data-step]")) {
    const next = found[place + Number(button.dataset.step)];
    button.disabled = place < 0 || !next;
    button.onclick = () => { remember({ image: next.id }); enlarge(next); };
  }
  if (!dialog.open) dialog.showModal();
}

// Take over what the address says, if it speaks of the gallery.
function restore() {
  const [place, query] = location.hash.split("?");
  const state = new URLSearchParams(query);
  if (dialog.open && !state.has("image")) dialog.close();
  if (place === "#gallery" && query === undefined) remember(); // by the link above, which names no choice
  if (place !== "#gallery" || query === undefined) return;
  for (const name of ["words", "part", "verdict", "sort"]) {
    if (form.elements[name]) form.elements[name].value = state.get(name) ?? "";
    if (form.elements[name]?.selectedIndex === -1) form.elements[name].value = "";
  }
  const ticked = state.get("decoders")?.split(" ");
  for (const box of boxes) box.checked = ticked?.includes(box.value) ?? true;
  page = Number.parseInt(state.get("page") ?? "1", 10) - 1 || 0;
  search();
  show();
  const image = images.find((image) => String(image.id) === state.get("image"));
  if (image) enlarge(image);
  else gallery.scrollIntoView({ behavior: "instant" });
}

function change() {
  page = 0;
  search();
  show();
  remember();
}

form.addEventListener("input", change);
form.addEventListener("submit", (event) => event.preventDefault());
for (const button of pager.querySelectorAll("button")) {
  button.addEventListener("click", () => {
    page += Number(button.dataset.step);
    show();
    remember();
    pager.scrollIntoView({ block: "start", behavior: "instant" });
  });
}
// Back to the card of the image that was looked at last.
dialog.addEventListener("close", () => {
  const place = found.indexOf(enlarged);
  if (place >= 0 && Math.floor(place / PAGE) !== page) {
    page = Math.floor(place / PAGE);
    show();
  }
  remember();
  gallery.querySelector(".cards").children[place - page * PAGE]?.querySelector(".number a").focus();
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || "close" in event.target.dataset) dialog.close();
});
dialog.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: "-1", ArrowRight: "1" }[event.key];
  if (step) dialog.querySelector(`[data-step="${step}"]`).click();
});
window.addEventListener("hashchange", restore);
form.hidden = pager.hidden = false;
search();
show();
restore();
