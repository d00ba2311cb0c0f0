// Draw a cell, see what a predictor says of it. Plain script, no server: the page works from a folder.
// The data (weights of a trained predictor, what it says of all cells, results by hash) come in
// draw_a_cell_data.js, which is written when the book is built; nplib.publish.playground tells its fields.
"use strict";

const nplib = (() => {
  const VERTICES = 7, MAX_EDGES = 9;
  const OPERATIONS = ["3×3 conv.", "1×1 conv.", "max-pool"]; // codes 0, 1, 2; short, for phones
  const INPUT = -1, OUTPUT = -2;

  // Cells: {matrix: rows of 0 and 1, codes}. The recipes are those of nplib.cell.

  function pruned(cell) {
    const last = cell.codes.length - 1;
    const reach = (start, next) => {
      const seen = new Set([start]);
      for (const u of seen) for (let v = 0; v <= last; v++) if (next(u, v)) seen.add(v);
      return seen;
    };
    const forward = reach(0, (u, v) => cell.matrix[u][v]);
    const backward = reach(last, (u, v) => cell.matrix[v][u]);
    if (!forward.has(last)) return null;
    const kept = [...cell.codes.keys()].filter((v) => forward.has(v) && backward.has(v));
    return { matrix: kept.map((u) => kept.map((v) => cell.matrix[u][v])), codes: kept.map((v) => cell.codes[v]) };
  }

  const edges = (cell) => cell.matrix.flatMap((row, u) => row.flatMap((one, v) => (one ? [[u, v]] : [])));

  // RFC 1321, for text of single bytes.
  function md5(text) {
    const add = (a, b) => (a + b) | 0, turn = (x, n) => (x << n) | (x >>> (32 - n));
    const shifts = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    const words = new Int32Array((((text.length + 8) >> 6) + 1) * 16);
    for (let i = 0; i < text.length; i++) words[i >> 2] |= text.charCodeAt(i) << (8 * (i % 4));
    words[text.length >> 2] |= 0x80 << (8 * (text.length % 4));
    words[words.length - 2] = text.length * 8;
    const state = [0x67452301, 0xefcdab89 | 0, 0x98badcfe | 0, 0x10325476];
    for (let block = 0; block < words.length; block += 16) {
      let [a, b, c, d] = state;
      for (let i = 0; i < 64; i++) {
        const round = i >> 4;
        const [mixed, word] = [
          [(b & c) | (~b & d), i], [(d & b) | (~d & c), 5 * i + 1], [b ^ c ^ d, 3 * i + 5], [c ^ (b | ~d), 7 * i],
        ][round];
        const sum = add(add(a, mixed), add(words[block + (word % 16)], Math.floor(2 ** 32 * Math.abs(Math.sin(i + 1))) | 0));
        [a, b, c, d] = [d, add(b, turn(sum, shifts[round][i % 4])), b, c];
      }
      [a, b, c, d].forEach((value, i) => { state[i] = add(state[i], value); });
    }
    const hex = (byte) => (byte & 255).toString(16).padStart(2, "0");
    return state.map((s) => [0, 8, 16, 24].map((by) => hex(s >>> by)).join("")).join("");
  }

  function moduleHash(cell) {
    const all = [...cell.codes.keys()];
    const to = all.map((u) => all.filter((v) => cell.matrix[u][v]));
    const from = all.map((v) => all.filter((u) => cell.matrix[u][v]));
    let names = all.map((v) => md5(`(${to[v].length}, ${from[v].length}, ${cell.codes[v]})`));
    for (let step = 0; step < all.length; step++) {
      const joined = (some) => some.map((v) => names[v]).sort().join("");
      names = all.map((v) => md5(`${joined(from[v])}|${joined(to[v])}|${names[v]}`));
    }
    return md5(`[${names.sort().map((name) => `'${name}'`).join(", ")}]`);
  }

  function parameters(cell) {
    const last = cell.codes.length - 1;
    const convolution = (size, from, to) => size * size * from * to + 2 * to;
    let total = convolution(3, 3, 128), inputs = 128;
    for (let module = 0; module < 9; module++) {
      const outputs = 128 * 2 ** Math.floor(module / 3);
      const widths = Array(last + 1).fill(0);
      const feeders = [...Array(last).keys()].filter((v) => v && cell.matrix[v][last]);
      feeders.forEach((v, i) => { widths[v] = Math.floor(outputs / feeders.length) + (i < outputs % feeders.length); });
      for (let v = last - 1; v > 0; v--) {
        if (!cell.matrix[v][last]) widths[v] = Math.max(...widths.filter((_, w) => w > v && w < last && cell.matrix[v][w]));
        if (cell.matrix[0][v]) total += convolution(1, inputs, widths[v]);
        if (cell.codes[v] < 2) total += convolution(cell.codes[v] ? 1 : 3, widths[v], widths[v]);
      }
      if (cell.matrix[0][last]) total += convolution(1, inputs, outputs);
      inputs = outputs;
    }
    return total + inputs * 10 + 10;
  }

  // The predictor: the recipe is that of nplib.predictor.

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  function weights(data) {
    const read = {};
    for (const [name, part] of Object.entries(data.weights)) {
      read[name] = { shape: part.shape, values: new Float32Array(bytes(part.values).buffer) };
    }
    return read;
  }

  const normalised = (matrix) => matrix.map((row) => {
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((value) => value / sum);
  });
  const transposed = (matrix) => matrix.map((_, v) => matrix.map((row) => row[v]));
  const product = (left, right) => left.map((row) => right[0].map((_, k) => row.reduce((sum, value, i) => sum + value * right[i][k], 0)));

  function apply(states, weight) { // states: V rows; weight of shape (inputs, outputs)
    const [inputs, outputs] = weight.shape;
    return states.map((state) => {
      const row = new Array(outputs).fill(0);
      for (let i = 0; i < inputs; i++) if (state[i]) for (let k = 0; k < outputs; k++) row[k] += state[i] * weight.values[i * outputs + k];
      return row;
    });
  }

  function predict(cell, read, data) {
    const count = cell.codes.length;
    let states = cell.codes.map((code) => [OUTPUT, INPUT, 0, 1, 2].map((one) => Number(one === code)));
    const along = normalised(cell.matrix.map((row, u) => row.map((one, v) => one + Number(u === v))));
    const [forward, backward] = [normalised(along), normalised(transposed(along))];
    for (let layer = 0; `gcn.${layer}.weight1` in read; layer++) {
      const one = product(forward, apply(states, read[`gcn.${layer}.weight1`]));
      const two = product(backward, apply(states, read[`gcn.${layer}.weight2`]));
      states = one.map((row, v) => row.map((value, k) => (Math.max(value, 0) + Math.max(two[v][k], 0)) / 2));
    }
    let pooled = states[0].map((_, k) => states.reduce((sum, row) => sum + row[k], 0) / count);
    for (const name of ["fc1.weight", "fc2.weight"]) { // linear layers: weight of shape (outputs, inputs)
      const { shape: [outputs, inputs], values } = read[name];
      pooled = [...Array(outputs).keys()].map((o) => pooled.reduce((sum, value, i) => sum + value * values[o * inputs + i], 0));
    }
    return pooled[0] * data.label_std + data.label_mean;
  }

  // Results by hash: prefixes of 6 bytes in ascending order, and accuracies in 1/65535.

  function measured(hash, data) {
    if (!data.measured) return null;
    data.table ??= { prefixes: bytes(data.measured.prefixes), values: new Uint16Array(bytes(data.measured.values).buffer) };
    const { prefixes, values } = data.table;
    const wanted = parseInt(hash.slice(0, 12), 16);
    const at = (row) => [...prefixes.subarray(6 * row, 6 * row + 6)].reduce((sum, byte) => sum * 256 + byte, 0);
    let low = 0, high = values.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (at(middle) < wanted) low = middle + 1; else high = middle;
    }
    return low < values.length && at(low) === wanted && values[low] ? values[low] / 65535 : null;
  }

  // What share of all cells is predicted to be worse; quantiles at equal steps.
  const better = (accuracy, quantiles) => quantiles.filter((q) => q < accuracy).length / quantiles.length;

  return { VERTICES, MAX_EDGES, OPERATIONS, INPUT, OUTPUT, pruned, edges, md5, moduleHash, parameters, weights, predict, measured, better };
})();

document.addEventListener("DOMContentLoaded", () => {
  const root = document.getElementById("cell-drawing-board");
  const data = window.nplibData;
  if (!root) return;
  if (!data) {
    root.textContent = "This build has no predictor to ask: notebook 04 was not run.";
    return;
  }
  const read = nplib.weights(data);
  const last = nplib.VERTICES - 1;
  const cell = { matrix: Array.from({ length: 7 }, () => Array(7).fill(0)), codes: [nplib.INPUT, 0, 0, 1, 2, 0, nplib.OUTPUT] };
  const name = (v) => (v === 0 ? "in" : v === last ? "out" : String(v));
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  // The table: a button for every possible arrow, a choice of operation for every box.
  const table = make("table", { class: "cell-editor" }, make("caption", {}, "Arrows: from the box of the row to the box of the column"));
  const head = make("tr", {}, make("th", { scope: "col" }, "from \\ to"));
  for (let v = 1; v <= last; v++) head.append(make("th", { scope: "col" }, name(v)));
  head.append(make("th", { scope: "col" }, "operation"));
  table.append(make("thead", {}, head));
  const body = make("tbody");
  for (let u = 0; u < last; u++) {
    const row = make("tr", {}, make("th", { scope: "row" }, name(u)));
    for (let v = 1; v <= last; v++) {
      const place = make("td");
      if (v > u) {
        const button = make("button", { type: "button", "aria-pressed": "false", "aria-label": `arrow from ${name(u)} to ${name(v)}`, id: `arrow-${u}-${v}` });
        button.addEventListener("click", () => { cell.matrix[u][v] ^= 1; show(); });
        place.append(button);
      }
      row.append(place);
    }
    const choice = make("td");
    if (u) {
      const select = make("select", { "aria-label": `operation of box ${u}`, id: `operation-${u}` });
      nplib.OPERATIONS.forEach((label, code) => select.append(make("option", { value: code }, label)));
      select.value = cell.codes[u];
      select.addEventListener("change", () => { cell.codes[u] = Number(select.value); show(); });
      choice.append(select);
    } else choice.append("input");
    row.append(choice);
    body.append(row);
  }
  table.append(body);

  const examples = make("p", {}, "Start from: ");
  for (const [label, example] of Object.entries(data.examples)) {
    const button = make("button", { type: "button", class: "example" }, label);
    button.addEventListener("click", () => {
      cell.matrix = Array.from({ length: 7 }, () => Array(7).fill(0));
      const places = example.codes.map((_, v) => (v === example.codes.length - 1 ? last : v));
      example.matrix.forEach((row, u) => row.forEach((one, v) => { cell.matrix[places[u]][places[v]] = one; }));
      example.codes.forEach((code, v) => { if (code >= 0) cell.codes[v] = code; });
      show();
    });
    examples.append(button, " ");
  }
  const answer = make("dl", { "aria-live": "polite", id: "cell-answer" });
  const picture = make("div", { id: "cell-picture" });
  root.replaceChildren(examples, make("div", { class: "cell-scroll", tabindex: "0", role: "region", "aria-label": "the cell's arrows and operations" }, table), picture, answer);

  const percent = (fraction, digits = 2) => `${(100 * fraction).toFixed(digits)} %`;
  const say = (...pairs) => answer.replaceChildren(...pairs.flatMap(([term, text, value]) => {
    const detail = make("dd", value === undefined ? {} : { "data-value": value }, text);
    return [make("dt", {}, term), detail];
  }));

  function show() {
    for (let u = 0; u < last; u++) {
      for (let v = u + 1; v <= last; v++) {
        const button = document.getElementById(`arrow-${u}-${v}`);
        button.setAttribute("aria-pressed", String(Boolean(cell.matrix[u][v])));
        button.textContent = cell.matrix[u][v] ? "→" : "·";
      }
      if (u) document.getElementById(`operation-${u}`).value = cell.codes[u];
    }
    const small = nplib.pruned(cell);
    draw(small);
    if (!small) return say(["Valid", "no: the output cannot be reached from the input"]);
    const count = nplib.edges(small).length;
    if (count > nplib.MAX_EDGES) return say(["Valid", `no: ${count} arrows, and NASBench-101 allows ${nplib.MAX_EDGES}`]);
    const hash = nplib.moduleHash(small), accuracy = nplib.predict(small, read, data);
    const real = nplib.measured(hash, data), dropped = cell.codes.length - small.codes.length;
    say(
      ["Valid", `yes: ${small.codes.length} boxes, ${count} arrows` + (dropped ? ` (boxes on no path, left out: ${dropped})` : "")],
      ["Hash", hash, hash],
      ["Parameters", nplib.parameters(small).toLocaleString("en"), nplib.parameters(small)],
      ["Predicted accuracy", `${percent(accuracy)}, better than ${percent(nplib.better(accuracy, data.quantiles), 1)} of all cells' predictions`, accuracy],
      [data.measured ? data.measured.what : "Measured", real === null ? "not in this build's data" : percent(real), real ?? ""],
    );
  }

  function draw(small) {
    if (!small) return picture.replaceChildren();
    const svg = (tag, attributes, text = "") => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      element.textContent = text;
      return element;
    };
    const depth = small.codes.map(() => 0);
    for (const [u, v] of nplib.edges(small)) depth[v] = Math.max(depth[v], depth[u] + 1);
    const rows = {};
    const places = depth.map((d) => [40 + 90 * d, (rows[d] = (rows[d] ?? -1) + 1)]);
    places.forEach((place, v) => { place[1] = 90 + 60 * (place[1] - rows[depth[v]] / 2); });
    const width = 80 + 90 * Math.max(...depth);
    const words = ["3×3", "1×1", "pool"];
    const label = (code) => (code === nplib.INPUT ? "in" : code === nplib.OUTPUT ? "out" : words[code]);
    const title = `A cell: ${nplib.edges(small).map(([u, v]) => `${label(small.codes[u])} to ${label(small.codes[v])}`).join(", ")}`;
    const image = svg("svg", { viewBox: `0 0 ${width} 180`, role: "img", "aria-label": title, width: "100%", style: `max-width:${width}px` });
    for (const [u, v] of nplib.edges(small)) {
      const [[x, y], [a, b]] = [places[u], places[v]];
      const far = depth[v] - depth[u] > 1 && y === b;
      image.append(svg("path", { d: `M${x},${y} Q${(x + a) / 2},${(y + b) / 2 + (far ? 45 + 8 * (depth[v] - depth[u]) : 0)} ${a},${b}`, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }));
    }
    places.forEach(([x, y], v) => {
      image.append(svg("circle", { cx: x, cy: y, r: 18, class: `operation code${small.codes[v]}` }));
      image.append(svg("text", { x, y: y + 4, "text-anchor": "middle", "font-size": 12, class: `label code${small.codes[v]}` }, label(small.codes[v])));
    });
    picture.replaceChildren(image);
  }

  examples.querySelector("button").click();
});
