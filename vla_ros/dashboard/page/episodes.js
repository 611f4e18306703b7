/** The episodes of the dataset that is being recorded: newest first, each with its health, and its pictures on demand. @module */
import { ask } from "./ask.js";

export class Episodes {
  constructor(at) {
    Object.assign(this, { at, known: "", pending: false });
  }

  /** Ask again where the recorder counts another number of episodes, or writes another dataset. */
  follow(report) {
    if (!report) return;
    const count = `${report.values.dataset} ${report.values.episodes}`;
    this.at("dataset").textContent = report.values.dataset ?? "";
    if (count !== this.known && !this.pending) this.ask(count);
  }

  async ask(count) {
    this.pending = true;
    try {
      this.show(await ask("GET", "/api/episodes"));
      this.known = count;
      this.at("shelf").textContent = "";
    } catch (error) {
      this.at("shelf").textContent = error.message;
      await new Promise((done) => setTimeout(done, 2000));
    }
    this.pending = false;
  }

  show(cards) {
    const open = new Set([...this.at("list").querySelectorAll("tr.open")].map((row) => row.dataset.index));
    this.at("list").replaceChildren(...cards.reverse().map((card) => this.row(card)));
    for (const index of open) this.at("list").querySelector(`tr[data-index="${index}"] button`)?.click();
    if (!cards.length) this.at("shelf").textContent = "none yet";
  }

  row(card) {
    const row = document.createElement("tr"), button = document.createElement("button");
    row.dataset.index = card.index;
    button.type = "button";
    button.textContent = card.index;
    button.title = "pictures of this episode";
    button.setAttribute("aria-label", `pictures of episode ${card.index}`);
    button.setAttribute("aria-expanded", "false");
    button.onclick = () => this.unfold(row, button, card.index);
    const cells = [button, `${card.seconds.toFixed(1)} s`, card.task, ...verdicts(card)];
    for (const content of cells) {
      const cell = document.createElement("td");
      if (content.level) cell.className = content.level;
      cell.append(content.text ?? content);
      row.append(cell);
    }
    return row;
  }

  unfold(row, button, index) {
    if (row.classList.toggle("open")) {
      const under = document.createElement("tr"), cell = document.createElement("td"), picture = document.createElement("img");
      cell.colSpan = 5;
      picture.alt = `frames of episode ${index}`;
      picture.src = `/api/episodes/${index}.jpg`;
      picture.onerror = () => cell.replaceChildren("its pictures cannot be had just now");
      cell.append(picture);
      under.append(cell);
      row.after(under);
    } else row.nextSibling.remove();
    button.setAttribute("aria-expanded", String(row.classList.contains("open")));
  }
}

/** Outcome and health of a card, each with its level. */
export function verdicts(card) {
  const outcome = card.success === null ? { text: "–" } : card.success ? { text: "success", level: "ok" } : { text: "failure", level: "warn" };
  const health = card.findings.length ? { text: card.findings.join("; "), level: card.bad ? "bad" : "warn" } : { text: "good", level: "ok" };
  return [outcome, health];
}
