"use strict";
// The page to try the service. It learns the tasks and their options from /openapi.json and sends
// each image to the same addresses that a program uses. Names and labels become text by
// textContent alone; nothing is ever parsed as HTML.
(() => {
  const byId = (id) => document.getElementById(id);
  const percent = (share) => (100 * share).toFixed(1) + "%";
  const INKS = 6;
  const AT_ONCE = 2; // requests under way
  const MOST_TRIES = 6;
  const MOST_CARDS = 60;
  const TITLES = {
    classify: "Classify", detect: "Detect objects", verify: "Compare faces",
    identify: "Recognize people", explain: "Explain", stylize: "Stylize",
  };
  const SLOT_TITLES = { image: "Image", a: "First photo", b: "Second photo", style: "Style" };

  let token = "";
  let tasks = [];
  let task = null; // the chosen one
  let chosen = {}; // of a task with several images: the file of each part
  let running = 0;
  const waiting = [];

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function button(text, act, className) {
    const made = element("button", className, text);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  }

  const say = (text) => { byId("status").textContent = text; };

  // --- the service -----------------------------------------------------------------------------

  const access = () => (token ? { Authorization: "Bearer " + token } : {});

  async function start() {
    const answer = await fetch("/openapi.json", { headers: access() }).catch(() => null);
    if (answer && answer.status === 401) {
      byId("token-form").hidden = false;
      byId("token-why").textContent = token
        ? "This is not the service's token."
        : "This service asks for a token. It is kept until this page is closed.";
      byId("token").focus();
      return;
    }
    if (!answer || !answer.ok) {
      say("The service does not answer.");
      byId("subtitle").textContent = "The service does not answer. Reload the page to try again.";
      return;
    }
    tasks = readTasks(await answer.json());
    byId("token-form").hidden = true;
    byId("app").hidden = false;
    for (const id of ["models-link", "openapi-link"]) byId(id).hidden = Boolean(token);
    showTasks();
    choose(tasks.find((one) => "#" + one.name === location.hash) || tasks[0]);
  }

  function readTasks(document) {
    return Object.entries(document.paths)
      .filter(([path, item]) => path.startsWith("/v1/") && item.post)
      .map(([path, { post }]) => {
        const form = post.requestBody.content["multipart/form-data"].schema;
        const name = path.slice("/v1/".length);
        return {
          path, name, title: TITLES[name] || name, summary: post.summary,
          options: post.parameters, parts: Object.keys(form.properties), required: form.required,
        };
      });
  }

  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    token = byId("token").value.trim();
    start();
  });

  // --- tasks and options -----------------------------------------------------------------------

  function showTasks() {
    const group = byId("tasks");
    group.querySelectorAll("label").forEach((old) => old.remove());
    for (const one of tasks) {
      const label = element("label", "task", one.title);
      const radio = element("input");
      radio.type = "radio";
      radio.name = "task";
      radio.value = one.name;
      radio.addEventListener("change", () => choose(one));
      label.append(radio);
      group.append(label);
      one.radio = radio;
    }
  }

  function choose(one) {
    task = one;
    chosen = {};
    one.radio.checked = true;
    history.replaceState(null, "", "#" + one.name);
    byId("ask-title").textContent = one.summary;
    showOptions();
    showSlots();
  }

  function showOptions() {
    byId("options").replaceChildren(...task.options.map(optionField));
    byId("settings").hidden = !task.options.length;
  }

  function optionField(option) {
    const { type, enum: values } = option.schema;
    const label = element("label", type === "boolean" ? "field check" : "field");
    const input = element(values ? "select" : "input");
    if (values) {
      for (const value of values) input.append(new Option(value));
      if (values.length < 2) label.hidden = true;
    } else {
      input.type = { boolean: "checkbox", integer: "number", number: "number" }[type] || "text";
      if (type === "number") input.step = "any";
      input.autocomplete = "off";
      if (option.schema.default !== undefined && type !== "boolean") {
        input.placeholder = String(option.schema.default);
      }
    }
    input.dataset.option = option.name;
    input.addEventListener("change", showSlots);
    const told = element("small", "", option.description);
    told.id = "about-" + option.name;
    input.setAttribute("aria-describedby", told.id);
    if (type === "boolean") label.append(input, option.name, told);
    else label.append(option.name, input, told);
    return label;
  }

  function query() {
    const set = new URLSearchParams();
    for (const input of byId("options").querySelectorAll("[data-option]")) {
      const first = input.tagName === "SELECT" ? input.options[0].value : "";
      const value = input.type === "checkbox" ? (input.checked ? "true" : "") : input.value.trim();
      if (value && value !== first) set.set(input.dataset.option, value);
    }
    const text = set.toString();
    return text && "?" + text;
  }

  // --- choosing images -------------------------------------------------------------------------

  const isSingle = () => task.parts.length === 1;

  function showSlots() {
    const slots = byId("slots");
    slots.classList.toggle("two", !isSingle());
    slots.replaceChildren(...task.parts.map(slot));
    byId("slots-hint").textContent = isSingle()
      ? "You can also paste an image."
      : "Both images are sent as soon as they are chosen. You can also paste them.";
  }

  function slot(part) {
    const place = element("div", "slot");
    const name = SLOT_TITLES[part] || part;
    const file = chosen[part];
    if (file) {
      const image = element("img");
      image.alt = name;
      image.src = URL.createObjectURL(file);
      image.addEventListener("load", () => URL.revokeObjectURL(image.src));
      image.addEventListener("error", () => image.remove());
      place.append(image, element("span", "file-name", file.name));
    } else {
      place.append(element("span", "slot-name", isSingle() ? "Drop images here" : name));
    }
    const pick = element("label", "choose", isSingle() ? "Choose images" : "Choose");
    const input = element("input", "hidden");
    input.type = "file";
    input.accept = "image/*";
    input.multiple = true; // of a task with two images, both at once
    input.setAttribute("aria-label", isSingle() ? "Choose images" : "Choose " + name.toLowerCase());
    input.addEventListener("change", () => take([...input.files], part));
    pick.append(input);
    const buttons = element("div", "slot-buttons");
    buttons.append(pick);
    if (navigator.mediaDevices) {
      const camera = button("Camera", () => openCamera(part));
      camera.setAttribute("aria-label", "Use the camera for " + name.toLowerCase());
      buttons.append(camera);
    }
    place.append(buttons);
    place.addEventListener("dragover", (event) => {
      event.preventDefault();
      place.classList.add("over");
    });
    place.addEventListener("dragleave", () => place.classList.remove("over"));
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      place.classList.remove("over");
      take([...event.dataTransfer.files], part);
    });
    return place;
  }

  /** Take files for a part: those of a single part are each a request. */
  function take(files, part) {
    if (!files.length || !task) return;
    if (isSingle()) {
      for (const file of files) ask({ [task.parts[0]]: file });
      return;
    }
    const free = [part, ...task.parts.filter((one) => one !== part && !chosen[one])];
    files.slice(0, free.length).forEach((file, place) => { chosen[free[place]] = file; });
    showSlots();
    if (task.parts.every((one) => chosen[one])) ask({ ...chosen });
    else if (task.required.every((one) => chosen[one])) offerAlone();
  }

  /** Send what is required: a model with a style of its own needs no style image. */
  function offerAlone() {
    byId("slots").append(button("Send without it", () => ask({ ...chosen })));
  }

  const nextPart = () => task.parts.find((one) => !chosen[one]) || task.parts[0];

  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
    if (files.length && task) take(files, nextPart());
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (task) take([...event.dataTransfer.files], nextPart());
  });

  // The camera

  let stream = null;
  let cameraPart = "";

  async function openCamera(part) {
    cameraPart = part;
    const problem = byId("camera-problem");
    problem.hidden = true;
    byId("camera-take").disabled = true;
    byId("camera").showModal();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      byId("video").srcObject = stream;
      byId("camera-take").disabled = false;
    } catch (error) {
      problem.textContent = "The camera cannot be used: " + error.message;
      problem.hidden = false;
    }
  }

  byId("camera").addEventListener("close", () => {
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = null;
  });
  byId("camera-cancel").addEventListener("click", () => byId("camera").close());
  byId("camera-take").addEventListener("click", () => {
    const video = byId("video");
    const canvas = element("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      byId("camera").close();
      if (blob) take([new File([blob], "camera.jpg", { type: "image/jpeg" })], cameraPart);
    }, "image/jpeg", 0.92);
  });

  // --- asking ----------------------------------------------------------------------------------

  function ask(files) {
    const request = { task, files, address: task.path + query() };
    request.card = newCard(request);
    byId("nothing").hidden = true;
    byId("clear").hidden = false;
    const cards = byId("cards");
    cards.prepend(request.card);
    while (cards.childElementCount > MOST_CARDS) cards.lastElementChild.remove();
    waiting.push(request);
    pump();
  }

  function pump() {
    while (running < AT_ONCE && waiting.length) {
      running += 1;
      const request = waiting.shift();
      send(request).then((outcome) => show(request, outcome)).finally(() => {
        running -= 1;
        pump();
      });
    }
  }

  function bodyOf({ task: asked, files }) {
    if (asked.parts.length === 1) return files[asked.parts[0]];
    const form = new FormData();
    for (const part of asked.parts) if (files[part]) form.append(part, files[part], part);
    return form;
  }

  async function send(request) {
    const began = performance.now();
    for (let tries = 1; ; tries += 1) {
      try {
        const headers = access();
        const body = bodyOf(request);
        if (!(body instanceof FormData)) headers["Content-Type"] = "application/octet-stream";
        const answer = await fetch(request.address, { method: "POST", body, headers });
        const text = await answer.text();
        if (answer.status === 503 && tries < MOST_TRIES) {
          const seconds = Number(answer.headers.get("Retry-After")) || 1;
          await new Promise((done) => setTimeout(done, 1000 * seconds));
          continue;
        }
        if (answer.status === 401) byId("token-form").hidden = false;
        return { row: JSON.parse(text), text, took: performance.now() - began };
      } catch (error) {
        const message = error instanceof SyntaxError
          ? "the answer is not the service's"
          : "the service does not answer, or the file cannot be read";
        const row = { status: "error", error: { kind: "connection", message } };
        return { row, text: JSON.stringify(row), took: performance.now() - began };
      }
    }
  }

  // --- a card for each answer ------------------------------------------------------------------

  function newCard(request) {
    const card = element("article", "answer");
    const body = element("div", "answer-body");
    const shown = element("div", request.task.name === "verify" ? "shown two" : "shown");
    request.frames = {};
    for (const part of request.task.parts) {
      const isShown = part !== "style" && request.files[part];
      if (isShown) shown.append(frame(request, part));
    }
    request.said = element("div", "said");
    request.said.append(fileNames(request), element("p", "working", "Working…"));
    body.append(shown, request.said);
    card.append(body);
    return card;
  }

  function fileNames({ task: asked, files }) {
    const names = asked.parts.filter((part) => files[part]).map((part) => files[part].name);
    const line = element("p", "file-name", names.join(" · "));
    line.title = names.join("\n");
    return line;
  }

  function frame(request, part) {
    const made = element("div", "frame waiting");
    const image = element("img");
    image.alt = request.files[part].name;
    image.src = URL.createObjectURL(request.files[part]);
    image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
    image.addEventListener("error", () => {
      made.replaceChildren(element("p", "no-preview", "The browser cannot show this file."));
    }, { once: true });
    made.append(image);
    request.frames[part] = made;
    return made;
  }

  function show(request, { row, text, took }) {
    for (const one of Object.values(request.frames)) one.classList.remove("waiting");
    const said = [fileNames(request)];
    if (row.status === "ok") said.push(...(SHOWN[request.task.name] || showPlain)(row, request));
    else said.push(...showFailure(row));
    said.push(element("p", "figures-line", `${Math.round(took)} ms`));
    request.said.replaceChildren(...said);
    request.card.append(...footer(request, row, text));
    const verdict = request.said.querySelector(".verdict");
    say(`${request.said.querySelector(".file-name").textContent}: ${verdict ? verdict.textContent : "done"}`);
  }

  function showFailure(row) {
    const { kind, message } = row.error || { kind: "error", message: "no reason was given" };
    return [element("p", "verdict failed", "No result"), tagged(kind, message)];
  }

  function tagged(kind, message) {
    const line = element("p", "reason");
    line.append(element("span", "tag", kind), " " + message);
    return line;
  }

  const verdict = (text, unknown) => element("p", unknown ? "verdict unknown" : "verdict", text);

  /** A probability as the command says it, which never claims certainty. */
  const cautious = (share) => (share > 0.999 ? "over 99.9%" : share < 0.001 ? "below 0.1%" : percent(share));

  function bars(predictions, label, said = percent) {
    const list = element("ul", "predictions");
    for (const one of predictions) {
      const item = element("li", one.label === label ? "prediction chosen" : "prediction");
      item.append(element("span", "prediction-label", one.label));
      item.append(element("span", "prediction-score", said(one.score)));
      const track = element("span", "prediction-track");
      const bar = element("span", "prediction-bar");
      bar.style.width = percent(one.score);
      track.append(bar);
      item.append(track);
      list.append(item);
    }
    return list;
  }

  /** Draw named boxes over an image; they are told as text besides. */
  function draw(made, boxes, width, height) {
    for (const { box, name, ink } of boxes) {
      const [left, top, wide, high] = box;
      const drawn = element("div", `box ink-${1 + (ink % INKS)}`);
      drawn.setAttribute("aria-hidden", "true");
      drawn.style.left = percent(left / width);
      drawn.style.top = percent(top / height);
      drawn.style.width = percent(wide / width);
      drawn.style.height = percent(high / height);
      if (top / height < 0.08) drawn.classList.add("high");
      if (name) drawn.append(element("span", "box-name", name));
      made.append(drawn);
    }
  }

  /** Do something with the size of a shown image, which rows of faces do not have. */
  function whenSized(made, act) {
    const image = made && made.querySelector("img");
    if (!image) return;
    if (image.naturalWidth) act(image.naturalWidth, image.naturalHeight);
    else image.addEventListener("load", () => act(image.naturalWidth, image.naturalHeight), { once: true });
  }

  function listed(boxes) {
    const list = element("ul", "objects");
    for (const { name, share, ink } of boxes) {
      const item = element("li", `ink-${1 + (ink % INKS)}`);
      item.append(element("span", "dot"), element("span", "of", name), element("span", "share", share));
      list.append(item);
    }
    return list;
  }

  function counted(labels) {
    const counts = new Map();
    for (const label of labels) counts.set(label, (counts.get(label) || 0) + 1);
    return [...counts].map(([label, count]) => (count > 1 ? `${count} × ${label}` : label)).join(", ");
  }

  const SHOWN = {
    classify: (row) => [verdict(row.label, row.label === "unknown"), bars(row.predictions, row.label)],

    detect(row, request) {
      const boxes = row.detections.map((one) => ({
        box: one.box, name: one.label, ink: one.class_id, share: percent(one.score),
      }));
      draw(request.frames.image, boxes, row.width, row.height);
      const labels = row.detections.map((one) => one.label);
      return [verdict(counted(labels) || "Nothing found", !labels.length), listed(boxes)];
    },

    identify(row, request) {
      const boxes = row.faces.map((one, place) => ({
        box: one.box, name: one.name, ink: place,
        share: one.distance === undefined ? "" : "distance " + one.distance.toFixed(3),
      }));
      whenSized(request.frames.image, (width, height) => draw(request.frames.image, boxes, width, height));
      return [verdict(row.names.join(", ") || "No face", !row.names.length), listed(boxes)];
    },

    verify(row, request) {
      (row.faces || []).forEach((face, place) => {
        const made = request.frames[request.task.parts[place]];
        const box = { box: face.box, name: "", ink: row.same ? 2 : 5 };
        whenSized(made, (width, height) => draw(made, [box], width, height));
      });
      const lines = [verdict(row.same ? "Same person" : "Different people")];
      lines.push(element("p", "", `Distance ${row.distance.toFixed(3)}, threshold ${row.threshold.toFixed(3)}`));
      if (row.probability !== undefined) {
        lines.push(bars([{ label: "probability of the same person", score: row.probability }], null, cautious));
      }
      return lines;
    },

    explain(row, request) {
      replaceImage(request, row.overlay, "Heat map over " + request.files.image.name);
      const lines = [verdict(row.label), bars([{ label: row.label, score: row.score }])];
      if (row.predicted !== row.label) lines.push(element("p", "", "Predicted: " + row.predicted));
      lines.push(element("p", "figures-line", "Warm regions drive the prediction."));
      return lines;
    },

    stylize(row, request) {
      replaceImage(request, row.output, "Stylized " + request.files.image.name);
      return [verdict("Stylized"), element("p", "", `${row.width} × ${row.height} pixels`)];
    },
  };

  const showPlain = (row) => [element("pre", "", JSON.stringify(row, null, 1))];

  function replaceImage(request, url, alt) {
    if (!url || !url.startsWith("data:image/")) return;
    const image = element("img");
    image.alt = alt;
    image.src = url;
    request.frames.image.replaceChildren(image);
    request.made = url;
  }

  // The row and the command line

  function footer(request, row, text) {
    const foot = element("div", "answer-foot");
    foot.append(copier("Copy the row", () => text.trimEnd()));
    foot.append(copier("Copy curl", () => curl(request)));
    if (request.made) {
      const link = element("a", "button", "Save the image");
      link.href = request.made;
      link.download = request.made.startsWith("data:image/png") ? "cnnkit.png" : "cnnkit.jpg";
      foot.append(link);
    }
    const details = element("details");
    details.append(element("summary", "", "Row and curl"));
    details.append(element("pre", "", curl(request)), element("pre", "", JSON.stringify(shortened(row), null, 1)));
    foot.append(details);
    return [foot];
  }

  const shortened = (row) => Object.fromEntries(Object.entries(row).map(
    ([name, value]) => [name, typeof value === "string" && value.length > 2000 ? value.slice(0, 60) + "…" : value]));

  const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

  function curl({ task: asked, files, address }) {
    const words = ["curl"];
    if (token) words.push('-H "Authorization: Bearer $TOKEN"');
    if (asked.parts.length === 1) words.push("--data-binary " + quoted("@" + files[asked.parts[0]].name));
    else {
      for (const part of asked.parts) {
        if (files[part]) words.push("-F " + quoted(`${part}=@"${files[part].name.replace(/["\\]/g, "\\$&")}"`));
      }
    }
    words.push(quoted(location.origin + address));
    return words.join(" ");
  }

  function copier(text, content) {
    return button(text, async (event) => {
      const pressed = event.currentTarget;
      try {
        await navigator.clipboard.writeText(content());
        pressed.textContent = "Copied";
        say("Copied");
      } catch {
        const details = pressed.closest(".answer").querySelector("details");
        details.open = true;
        say("Copying is not allowed here; the text is shown below.");
      }
      setTimeout(() => { pressed.textContent = text; }, 1500);
    });
  }

  byId("clear").addEventListener("click", () => {
    byId("cards").replaceChildren();
    byId("nothing").hidden = false;
    byId("clear").hidden = true;
    say("Cleared");
  });

  start();
})();
