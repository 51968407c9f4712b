// Draws the charts from the data of the page, those of a layer when it is opened.
"use strict";
(() => {
  const { charts, rows } = JSON.parse(document.getElementById("data").textContent);
  const options = { renderer: "svg", actions: false };

  function draw(id, chart, datasets, then) {
    const place = document.getElementById(id);
    if (!place) return;
    const spec = { ...charts[chart], datasets };
    if (spec.usermeta) {
      const labels = Object.values(datasets).flatMap((each) => each.map((row) => row.label));
      spec.height = spec.usermeta.step * new Set(labels).size;
    }
    vegaEmbed(place, spec, options).then((drawn) => then && then(drawn.view));
  }

  // a column may be one number for all channels
  function channelRows(columns) {
    const names = ["l", "h", "scale", "d", "sl", "sh"];
    return columns.c.map((channel, place) => {
      const row = { x: place, c: channel, gl: columns.gl, gh: columns.gh };
      for (const name of names) {
        const column = columns[name];
        row[name] = Array.isArray(column) ? column[place] : column;
      }
      return row;
    });
  }

  function open(id) {
    const layer = document.getElementById(`layer-${id}`);
    if (!layer) return;
    layer.open = true;
    layer.scrollIntoView({ block: "start" });
    layer.querySelector("summary").focus({ preventScroll: true });
  }

  for (const layer of document.querySelectorAll("details.layer")) {
    const id = layer.dataset.id;
    layer.addEventListener("toggle", () => {
      if (!layer.open || layer.dataset.drawn || !rows.channels[id]) return;
      layer.dataset.drawn = "yes";
      const channels = channelRows(rows.channels[id]);
      draw(`before-${id}`, "before", { channels });
      draw(`after-${id}`, "after", { channels });
    });
  }

  draw("chart-column", "column", { layers: rows.layers }, (view) =>
    view.addSignalListener("pick", (_, picked) => picked.id && open(picked.id[0])));
  if (rows.ranking.length) draw("chart-ranking", "ranking", { ranking: rows.ranking });
  if (rows.latency.length) draw("chart-latency", "latency", { latency: rows.latency });

  const list = document.querySelector(".layers");
  document.getElementById("order")?.addEventListener("change", (event) => {
    const key = event.target.value;
    const items = [...list.children].sort((a, b) => Number(a.dataset[key]) - Number(b.dataset[key]));
    list.append(...items);
  });

  for (const link of document.querySelectorAll("a.open")) {
    link.addEventListener("click", (event) => { event.preventDefault(); open(link.dataset.id); });
  }

  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", async () => {
      const code = button.previousElementSibling;
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
})();
