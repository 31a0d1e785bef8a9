"""The page at / of the server: drop an image, see what the network makes of it.

One file without anything from elsewhere; it asks the server for the signature `ponder_map`.
"""

import html
import json
from collections.abc import Mapping
from typing import Any

_TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@TITLE@</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
         color: #222; background: #fff }
  h1 { font-size: 1.4rem }
  #drop { display: block; border: 2px dashed #888; border-radius: .5rem; padding: 2rem;
          text-align: center; cursor: pointer }
  #drop.over, #drop:focus-within { border-color: #06c; background: #eef5ff }
  #drop input { position: absolute; opacity: 0; width: 1px; height: 1px }
  #status { min-height: 1.5em; margin: .8rem 0 } #status.error { color: #b00020 }
  #pictures { display: flex; flex-wrap: wrap; gap: 1rem }
  figure { margin: 0; flex: 1 1 20rem } canvas { width: 100%; image-rendering: pixelated }
  figcaption { font-size: .9rem; color: #555 }
  table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .8rem .2rem 0;
          text-align: left } td.number { text-align: right; font-variant-numeric: tabular-nums }
  .scale { display: inline-block; width: 8rem; height: .8rem; vertical-align: middle;
           background: linear-gradient(to right, @GRADIENT@) }
  [hidden] { display: none !important }
</style>
<h1>@TITLE@</h1>
<label id="drop">Drop an image here, or click to choose one (JPEG, PNG, GIF or BMP)
  <input id="file" type="file" accept="image/jpeg,image/png,image/gif,image/bmp"></label>
<p id="status" role="status"></p>
<div id="result" hidden>
  <div id="pictures">
    <figure><canvas id="image"></canvas><figcaption>image</figcaption></figure>
    <figure id="map_figure"><canvas id="map"></canvas><figcaption>ponder cost of every position:
      <span id="low"></span> <span class="scale"></span> <span id="high"></span></figcaption>
    </figure>
  </div>
  <table id="classes"><thead><tr><th>class<th>score</thead><tbody></tbody></table>
  <p id="flops"></p>
  <table id="units"><thead><tr><th>block<th>mean units</thead><tbody></tbody></table>
</div>
<script>
"use strict";
const URL_PREDICT = @PREDICT@, COLORS = @COLORS@;
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
    const answer = await fetch(URL_PREDICT, {method: "POST", body: JSON.stringify(body)});
    const content = await answer.json();
    if (number !== latest) return;
    if (!answer.ok) { say(content.error, true); return; }
    await draw(file, content.predictions[0]);
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
  canvas.width = picture.width; canvas.height = picture.height;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
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
</script>
</html>
"""

# Five points of matplotlib's viridis.
_COLORS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


def page(name: str, description: Mapping[str, Any]) -> str:
    """The page as HTML.

    Args:
        name: of the model.
        description: of the export, see `sact_tf.serving.export`.
    """
    title = f"{name} ({description['kind']})" if "kind" in description else name
    gradient = ", ".join("rgb" + str(color) for color in _COLORS)
    predict = json.dumps(f"/v1/models/{name}:predict").replace("<", "\\u003c")
    return (
        _TEMPLATE.replace("@GRADIENT@", gradient)
        .replace("@COLORS@", json.dumps(_COLORS))
        .replace("@PREDICT@", predict)
        .replace("@TITLE@", html.escape(title))
    )
