// A list that grows at its top. While somebody reads further down, what is new waits, so that the
// rows do not move under their eyes.

import type { Query } from './api';
import { ROWS_MOST, Tail } from './tail.svelte';
import type { RecordSummary } from './types';

/** Further down than this, somebody reads. */
const SCROLLED_PIXELS = 160;

export class Live {
  rows = $state.raw<RecordSummary[]>([]);
  waiting = $state.raw<RecordSummary[]>([]);
  /** How many came since the list went live. */
  arrived = $state(0);
  #tail = new Tail((records) => this.#take(records));

  get state() {
    return this.#tail.state;
  }

  get isOn(): boolean {
    return this.#tail.state !== 'off';
  }

  start(query: Query, records: RecordSummary[]): void {
    this.rows = records;
    this.waiting = [];
    this.arrived = 0;
    this.#tail.start(query, records[0]?.id ?? 0);
  }

  stop(): void {
    this.#tail.stop();
  }

  /** Shows what waits. */
  show(): void {
    this.rows = [...this.waiting, ...this.rows].slice(0, ROWS_MOST);
    this.waiting = [];
    scrollTo(0, 0);
  }

  #take(records: RecordSummary[]): void {
    this.arrived += records.length;
    const isReading = scrollY > SCROLLED_PIXELS;
    if (isReading) this.waiting = [...records, ...this.waiting].slice(0, ROWS_MOST);
    else this.rows = [...records, ...this.waiting, ...this.rows].slice(0, ROWS_MOST);
    if (!isReading) this.waiting = [];
  }
}
