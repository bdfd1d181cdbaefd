// files on their way: sent two at a time, then the server's, which takes them in whether this page stays or not
(() => {
  const { h, t, button, seat, given } = Lectern;
  const SHOWN = 20; // cards of files that are being sent

  // as gradio.upload does it, which puts an alarm of its own on the page for every file that fails
  async function upload(file) {
    const { root = "", api_prefix: prefix = "" } = window.gradio_config || {};
    const form = new FormData();
    form.append("files", file);
    const answer = await fetch(`${root.replace(/\/$/, "")}${prefix}/upload`, { method: "POST", body: form });
    if (!answer.ok) throw new Error(`an upload was answered ${answer.status}`);
    return (await answer.json())[0];
  }

  // settle(answer): what became of a file is told; draw(): the shelf is drawn again
  Lectern.arrivals = ({ gradio, send, draw, settle }) => {
    const sending = new Map(); // key -> {name, file}: not at the server yet
    const there = new Map(); // arrival -> name: at the server, and not settled
    // never came: with their files while this page lives, by their names alone after it was loaded again
    let lost = (Lectern.store.read("sessionStorage", "sending") || []).map((name) => ({ name }));
    let serial = 0;
    let waiting = false;

    function remember() {
      Lectern.store.write("sessionStorage", "sending", [...sending.values(), ...lost].filter((one) => one.file).map((one) => one.name));
    }
    window.addEventListener("beforeunload", (event) => { if ([...sending.values()].some((one) => one.file)) event.preventDefault(); });

    async function take(files) {
      const queue = files.map((file) => ({ key: ++serial, file, name: file.name }));
      for (const entry of queue) sending.set(entry.key, entry);
      remember();
      draw();
      await Promise.all([0, 1].map(async () => { for (let entry; (entry = queue.shift());) await sendOne(entry); }));
    }

    async function sendOne(entry) {
      try {
        await Lectern.arrived;
        if (entry.file.size > given.limit) {
          const answer = await gradio.server.refuse_large({ visitor: seat.visitor, name: entry.name, size: entry.file.size });
          if (answer?.note) Lectern.say("notes", "show", answer.note);
        } else {
          const path = await upload(entry.file);
          const answer = await gradio.server.arrive({ visitor: seat.visitor, path, name: entry.name });
          if (answer?.note) Lectern.say("notes", "show", answer.note);
          if (answer && "arrival" in answer) { there.set(answer.arrival, entry.name); watch(); }
        }
      } catch (error) {
        console.warn("lectern: a file did not arrive", error);
        lost.push(entry);
      }
      sending.delete(entry.key);
      remember();
      send("changed");
      draw();
    }

    // one question for all of them: the server answers when the first has ended
    async function watch() {
      if (waiting) return;
      waiting = true;
      let trouble = 0;
      while (there.size && trouble < 30) {
        try {
          const { answers } = await gradio.server.settled({ visitor: seat.visitor, arrivals: [...there.keys()] });
          trouble = 0;
          for (const answer of answers) { there.delete(answer.arrival); settle(answer); }
          if (answers.length) { send("changed"); draw(); }
        } catch (error) {
          // a server that starts again goes on with what it has
          trouble += 1;
          await new Promise((done) => setTimeout(done, 2000));
        }
      }
      there.clear();
      waiting = false;
      draw();
    }

    async function act(id, what) {
      const answer = await gradio.server.arrival({ visitor: seat.visitor, id, act: what });
      if (answer?.note) Lectern.say("notes", "show", answer.note);
      send("changed");
    }

    // what has no file behind it, an address, is on its way too
    function begin(name) {
      const key = ++serial;
      sending.set(key, { key, name });
      draw();
      return () => { sending.delete(key); draw(); };
    }

    // ---- cards: those that the server has, then those that it does not have yet
    function entries(value) {
      const known = value.arriving || [];
      const ids = new Set(known.map((one) => one.id));
      const found = known.map((one) => ["in-" + one.id, { kind: "coming", ...one }]);
      const fresh = [...there].filter(([id]) => !ids.has(id) && !value.arriving_more).map(([id, name]) => ["in-" + id, { kind: "coming", id, name, state: "running", total: null }]);
      const own = [...sending.values()].map((one) => ["new-" + one.key, { kind: "coming", name: one.name, state: one.file ? "sending" : "running", total: null }]);
      const all = [...found, ...fresh, ...own];
      const more = all.length - SHOWN + (value.arriving_more || 0);
      return more > 0 ? [...all.slice(0, SHOWN), ["more", { kind: "more", n: more }]] : all;
    }

    function card({ id, name, state, done, total }) {
      const pages = total !== null && total !== undefined;
      const said = state === "sending" ? t("arriving.sending")
        : state === "stopped" ? (pages ? t("arriving.stopped_at", { done, n: total }) : t("arriving.stopped"))
          : state === "waiting" ? t("shelf.waiting")
            : pages ? t("arriving.pages", { done, n: total }) : t("shelf.arriving");
      const actions = [];
      if (state === "waiting" || (state === "running" && pages)) {
        actions.push(button("stop", t("arriving.stop", { name }), () => act(id, "stop"), { text: t("shelf.stop"), data: { focus: "act" } }));
      } else if (state === "stopped") {
        actions.push(button("play", t("arriving.resume", { name }), () => act(id, "resume"), { text: t("shelf.resume"), data: { focus: "act" } }),
          button("trash", t("arriving.drop", { name }), () => act(id, "drop"), { data: { focus: "drop" } }));
      }
      return h("li", { class: "card arriving", data: { state: "arriving" } },
        h("div", { class: "card-face" },
          h("span", { class: "cover blank", aria: { hidden: true } }),
          h("span", { class: "card-text" },
            h("span", { class: "card-title", title: name }, name),
            h("span", { class: `state ${state === "stopped" || state === "waiting" ? "idle" : "busy"}` }, said))),
        state === "running" && !pages && h("div", { class: "bar unsure" }, h("span", {})),
        pages && h("div", { class: "bar", role: "progressbar", aria: { valuenow: done, valuemin: 0, valuemax: total, label: said } },
          h("span", { style: { width: `${(100 * done) / Math.max(1, total)}%` } })),
        actions.length > 0 && h("div", { class: "card-actions" }, actions));
    }

    const more = ({ n }) => h("li", { class: "card arriving more", data: { state: "arriving" } }, h("p", { class: "fine" }, t("arriving.more", { n })));

    // ---- what never came, in one sentence
    const notice = h("div", { class: "undo lost", role: "status", hidden: true });
    function drawLost() {
      notice.hidden = !lost.length;
      if (!lost.length) return;
      const names = lost.slice(0, 3).map((one) => one.name);
      if (lost.length > 3) names.push(t("arriving.others", { n: lost.length - 3 }));
      const again = lost.filter((one) => one.file);
      const forget = () => { lost = []; remember(); draw(); };
      notice.replaceChildren(h("span", {}, t(again.length === lost.length ? "arriving.lost" : "arriving.lost_before", { n: lost.length, names: Lectern.list(names) })),
        h("span", { class: "confirm-actions" },
          again.length > 0 && button(null, t("arriving.send"), () => { lost = []; take(again.map((one) => one.file)); }, { text: t("arriving.send") }),
          button("close", t("arriving.forget"), forget)));
    }

    return { take, begin, entries, notice, drawLost, makers: { coming: card, more } };
  };
})();
