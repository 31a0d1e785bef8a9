"use strict";
// Five points of matplotlib's viridis.
const COLORS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const element = id => document.getElementById(id);
let latest = 0;

function say(text, isError) {
  element("status").textContent = text;
  element("status").className = isError ? "error" : "";
}
async function asBase64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768)
    text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}
async function show(file) {
  const number = ++latest;
  say("computing " + file.name + " ...");
  element("result").hidden = true;
  try {
    const body = {signature_name: "ponder_map", instances: [{b64: await asBase64(file)}]};
    const answer = await fetch(document.body.dataset.predict, {method: "POST", body: JSON.stringify(body)});
    const content = await answer.json();
    if (number !== latest) return;
    if (!answer.ok) { say(content.error, true); return; }
    // As the model gets it: browsers know fewer formats, and turn some pictures differently.
    const picture = await fetch("/picture", {method: "POST", body: file});
    if (!picture.ok) throw new Error((await picture.json()).error);
    const shown = await picture.blob();
    if (number !== latest) return;
    await draw(shown, content.predictions[0]);
    element("result").hidden = false;
    say(file.name);
  } catch (error) {
    if (number === latest) say("no answer: " + error.message, true);
  }
}
function color(share) {
  const place = Math.min(Math.max(share, 0), 1) * (COLORS.length - 1);
  const index = Math.min(Math.floor(place), COLORS.length - 2), rest = place - index;
  return COLORS[index].map((value, c) => value + rest * (COLORS[index + 1][c] - value));
}
function rows(table, lines) {
  const body = element(table).tBodies[0];
  body.replaceChildren(...lines.map(([name, value]) => {
    const row = document.createElement("tr");
    const [first, second] = [document.createElement("td"), document.createElement("td")];
    first.textContent = name; second.textContent = value; second.className = "number";
    row.append(first, second);
    return row;
  }));
}
function number(value) { return Number(value.toPrecision(4)); }
async function draw(file, found) {
  const picture = await createImageBitmap(file), canvas = element("image");
  // What the model sees of it, which is what the map shows: all, or all but a margin.
  const margin = Number(document.body.dataset.margin);
  const [left, top] = [picture.width, picture.height].map(side => Math.floor(side * margin));
  canvas.width = picture.width - 2 * left; canvas.height = picture.height - 2 * top;
  element("map").style.aspectRatio = canvas.width + " / " + canvas.height;
  const context = canvas.getContext("2d");
  context.drawImage(picture, -left, -top);
  const count = found.num_detections === undefined ? found.classes.length : found.num_detections;
  if (found.boxes) drawBoxes(context, found, count, picture.width);
  rows("classes", found.classes.slice(0, count).map(
    (name, i) => [name, (100 * found.scores[i]).toFixed(1) + " %"]));
  const share = 100 * found.flops / found.plain_flops;
  element("flops").textContent = (found.flops / 1e6).toFixed(1) + " MFLOPs, " + share.toFixed(1) +
    " % of the same network without halting";
  const blocks = Object.keys(found).filter(key => key.endsWith("_num_units")).sort();
  rows("units", blocks.map(key => {
    const units = found[key].flat();
    return [key.replace("_num_units", ""),
            (units.reduce((sum, value) => sum + value, 0) / units.length).toFixed(2)];
  }));
  drawMap(found.ponder_cost_map, found.image_size);
}
function drawMap(map, size) {
  const height = Math.min(map.length, size[0]), width = Math.min(map[0].length, size[1]);
  let low = Infinity, high = -Infinity;
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    low = Math.min(low, map[y][x]); high = Math.max(high, map[y][x]);
  }
  element("low").textContent = number(low); element("high").textContent = number(high);
  const canvas = element("map");
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext("2d"), data = context.createImageData(width, height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const share = high > low ? (map[y][x] - low) / (high - low) : 0.5;
    data.data.set([...color(share), 255], 4 * (y * width + x));
  }
  context.putImageData(data, 0, 0);
  element("map_figure").hidden = width * height === 1;
}
function drawBoxes(context, found, count, width) {
  context.lineWidth = Math.max(1, width / 300);
  context.font = Math.max(10, width / 50) + "px sans-serif";
  context.strokeStyle = context.fillStyle = "#ff3b30";
  for (let i = 0; i < count; i++) {
    const [top, left, bottom, right] = found.boxes[i];
    context.strokeRect(left, top, right - left, bottom - top);
    context.fillText(found.classes[i] + " " + found.scores[i].toFixed(2), left + 2, top - 3);
  }
}
document.querySelector(".scale").style.background =
  `linear-gradient(to right, ${COLORS.map(color => `rgb(${color})`)})`;
const drop = element("drop");
element("file").addEventListener("change", event => {
  if (event.target.files.length) show(event.target.files[0]);
  event.target.value = "";
});
for (const kind of ["dragover", "drop"])
  document.addEventListener(kind, event => event.preventDefault());
document.addEventListener("dragover", () => drop.classList.add("over"));
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", event => {
  drop.classList.remove("over");
  if (event.dataTransfer.files.length) show(event.dataTransfer.files[0]);
});
