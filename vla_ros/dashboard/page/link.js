/** A WebSocket that comes back by itself, and knows how old what it brought is. @module */

export const PATIENCE = [250, 500, 1000, 2000];

/** ms to wait before the n-th attempt (from 0). */
export function pause(attempt) {
  return PATIENCE[Math.min(attempt, PATIENCE.length - 1)];
}

export class Link {
  /** `hear` gets each message's data; `changed` whether it is open; both are called by the browser's loop. */
  constructor(address, { hear = () => {}, changed = () => {}, binary = false, silence = 2000, Socket = WebSocket } = {}) {
    Object.assign(this, { address, hear, changed, binary, silence, Socket });
    this.attempt = 0;
    this.ended = false;
    this.heard = 0;
    this.open();
  }

  open() {
    if (this.ended) return;
    const socket = this.socket = new this.Socket(this.address);
    if (this.binary) socket.binaryType = "arraybuffer";
    this.began = performance.now();
    socket.onopen = () => this.changed(true);
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.attempt = 0;
      this.heard = performance.now();
      this.hear(event.data, this);
    };
    socket.onclose = () => socket === this.socket && this.retry();
  }

  retry() {
    this.changed(false);
    if (!this.ended) setTimeout(() => this.open(), pause(this.attempt++));
  }

  /** A connection that brings nothing for `silence` ms is given up: a network that is gone closes none. */
  check(now = performance.now()) {
    if (now - Math.max(this.heard, this.began) > this.silence && this.socket.readyState <= 1) {
      const silent = this.socket;
      silent.onclose = silent.onmessage = null;
      silent.close();
      this.retry();
    }
  }

  /** Send, where it is open and not choked. Whether it went. */
  send(text) {
    if (this.socket.readyState !== 1 || this.socket.bufferedAmount > 2000) return false;
    this.socket.send(text);
    return true;
  }

  end() { this.ended = true; this.socket.close(); }
}
