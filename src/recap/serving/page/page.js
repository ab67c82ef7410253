"use strict";

const part = (id) => document.getElementById(id);
const POINTED = 150; // milliseconds on a word before its pixels are asked for
let file = null;
let seen = "";
let asking = new AbortController();
let pointing = new AbortController();
let waiting = 0;
let about = {};

function tell(text, isWrong = false) {
  part("message").textContent = text;
  part("message").classList.toggle("wrong", isWrong);
}

async function ask(path, fields, signal) {
  const form = new FormData();
  form.append("image", file, "image");
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  const answer = await fetch(path, { method: "POST", body: form, signal });
  const found = await answer.json();
  if (found.message) throw new Error(found.message);
  return found;
}

function show(source, text) {
  part("picture").src = source;
  part("picture").alt = text;
  part("shown").textContent = text;
}

function showWhole() {
  clearTimeout(waiting);
  pointing.abort();
  for (const button of document.querySelectorAll(".words button")) button.setAttribute("aria-pressed", "false");
  show(seen, "The part of the picture that was seen");
}

function point(button, caption, number) {
  showWhole();
  button.setAttribute("aria-pressed", "true");
  waiting = setTimeout(async () => {
    pointing = new AbortController();
    const word = caption.words[number].word;
    try {
      if (!button.pixels) {
        const fields = { captioner: caption.captioner, caption: caption.caption, word: number };
        button.pixels = (await ask("pixels", fields, pointing.signal)).picture;
      }
      if (button.getAttribute("aria-pressed") === "true") show(button.pixels, `The pixels that said “${word}”`);
    } catch (error) {
      if (error.name !== "AbortError") tell(error.message, true);
    }
  }, POINTED);
}

function draw(caption) {
  const title = document.createElement("h2");
  const total = document.createElement("small");
  total.textContent = ` log-probability ${caption.log_probability.toFixed(2)}`;
  title.append(caption.captioner, total);
  const words = document.createElement("div");
  words.className = "words";
  words.setAttribute("role", "group");
  words.setAttribute("aria-label", `${caption.captioner}: ${caption.caption}`);
  caption.words.forEach(({ word, probability }, number) => {
    const button = document.createElement("button");
    const meter = document.createElement("meter");
    const share = document.createElement("small");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    meter.value = probability;
    meter.setAttribute("aria-hidden", "true");
    share.textContent = `${(100 * probability).toFixed(0)} %`;
    button.append(word, meter, share);
    for (const event of ["mouseenter", "focus", "click"]) {
      button.addEventListener(event, () => {
        if (button.getAttribute("aria-pressed") !== "true") point(button, caption, number);
      });
    }
    for (const event of ["mouseleave", "blur"]) button.addEventListener(event, showWhole);
    words.append(button);
  });
  part("captions").append(title, words);
}

async function look(chosen) {
  if (!chosen) return;
  asking.abort();
  asking = new AbortController();
  part("result").hidden = true;
  if (about.largest_body && chosen.size > about.largest_body - 10000) {
    tell(`Expected a picture of at most ${Math.floor(about.largest_body / 1e6)} MB, received a larger one.`, true);
    return;
  }
  file = chosen;
  tell(`Looking at ${chosen.name} …`);
  try {
    const found = await ask("captions", {}, asking.signal);
    part("captions").replaceChildren();
    seen = found.picture;
    showWhole();
    found.captions.forEach(draw);
    part("result").hidden = false;
    const warning = "Unlike the images that the model was trained on: what it says means little.";
    tell(found.familiar === false ? warning : "Point at a word, or tab to it, to see its pixels.");
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message, true);
  }
}

part("file").addEventListener("change", () => look(part("file").files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault(); // else the browser would open the file in the page's place
    part("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") look(event.dataTransfer.files[0]);
  });
}
fetch("about").then((answer) => answer.json()).then((found) => {
  about = found;
  part("about").textContent = about.lines.join("\n");
  if (!about.images) {
    part("form").hidden = true;
    tell("This model captions features, not pictures.", true);
  }
});
