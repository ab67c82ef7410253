// Which pixels said a word: one picture, of which image, decoder, method and word are chosen.
const maps = document.querySelector(".maps");
if (maps) {
  const COLOURS = [[255, 255, 178], [254, 204, 92], [253, 141, 60], [227, 26, 28]];
  const shown = JSON.parse(document.getElementById("maps-data").textContent);
  const form = maps.querySelector("form");
  const canvas = maps.querySelector(".map");
  const words = maps.querySelector(".words");
  const { image: images, decoder: decoders, method: methods } = form.elements;
  let word = 0;

  const colour = (value, channel) => {
    const place = value * (COLOURS.length - 1);
    const low = Math.min(Math.floor(place), COLOURS.length - 2);
    return COLOURS[low][channel] + (place - low) * (COLOURS[low + 1][channel] - COLOURS[low][channel]);
  };
  const stops = COLOURS.map((own) => `rgb(${own})`).join(", ");
  maps.querySelector(".colours").style.background = `linear-gradient(to right, #ccc, ${stops})`;

  function offer(select, options) {
    const before = select.value;
    select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
    if (options.some(([value]) => value === before)) select.value = before;
  }

  async function draw() {
    const { sheet, words: said } = shown[images.value].decoders[decoders.value];
    const picture = new Image();
    picture.src = sheet;
    await picture.decode();
    const side = Math.round(picture.naturalWidth / (said.length + 1));
    const small = Object.assign(document.createElement("canvas"), { width: side, height: side });
    const pen = small.getContext("2d", { willReadFrequently: true });
    const pixels = (column, row) => {
      pen.drawImage(picture, column * side, row * side, side, side, 0, 0, side, side);
      return pen.getImageData(0, 0, side, side);
    };
    const paint = (target) => {
      const whole = target.getContext("2d");
      whole.imageSmoothingEnabled = side > 128;
      whole.drawImage(small, 0, 0, target.width, target.height);
    };
    const result = pixels(0, 0);
    paint(maps.querySelector(".as-is"));
    const heat = pixels(word + 1, methods.selectedIndex).data;
    for (let at = 0; at < heat.length; at += 4) {
      const [red, green, blue] = result.data.slice(at, at + 3);
      const grey = 255 - 0.55 * (255 - (0.299 * red + 0.587 * green + 0.114 * blue));
      const value = heat[at] / 255;
      const opacity = Math.min(1, 1.4 * value);
      for (let channel = 0; channel < 3; channel++) {
        result.data[at + channel] = (1 - opacity) * grey + opacity * colour(value, channel);
      }
    }
    pen.putImageData(result, 0, 0);
    paint(canvas);
    canvas.setAttribute("aria-label", `The pixels that spoke for the word “${said[word]}”, by ${methods.value}`);
  }

  function point(place) {
    word = place;
    for (const [index, button] of [...words.children].entries()) button.setAttribute("aria-pressed", String(index === word));
    draw();
  }

  function choose() {
    const { id, listed, decoders: known } = shown[images.value];
    const link = maps.querySelector("a");
    link.href = `#gallery?image=${encodeURIComponent(id)}`;
    link.parentElement.hidden = !listed;
    offer(decoders, Object.entries(known).map(([key, { name }]) => [key, name]));
    const { words: said, methods: used } = known[decoders.value];
    offer(methods, used.map((own) => [own, own]));
    words.className = `said words decoder-${decoders.value}`;
    words.replaceChildren(...said.map((text, place) => {
      const button = make("button", { type: "button" }, text);
      for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, () => point(place));
      return button;
    }));
    point(Math.min(word, said.length - 1));
  }

  form.addEventListener("input", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  maps.hidden = false;
  choose();
}
