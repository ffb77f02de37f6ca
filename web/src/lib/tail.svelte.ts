// New records as they come. The browser reconnects by itself when a connection breaks; when the
// server refuses, it gives up, and then we try again ourselves.

import { address, ask, records, type Query } from './api';
import type { RecordSummary } from './types';

export type TailState = 'off' | 'connecting' | 'live' | 'waiting';

/** Rows that a list holds at most, whatever comes. */
export const ROWS_MOST = 500;
/** Records are shown in batches, so that a flood does not paint a thousand times a second. */
const BATCH_MS = 250;
const WAIT_MS_FIRST = 2_000;
const WAIT_MS_MOST = 30_000;

export class Tail {
  state = $state<TailState>('off');
  #source: EventSource | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #batchTimer: ReturnType<typeof setTimeout> | undefined;
  #batch: RecordSummary[] = [];
  #wait = WAIT_MS_FIRST;
  #last = 0;

  constructor(private readonly onrecords: (newestFirst: RecordSummary[]) => void) {}

  start(query: Query, after: number): void {
    this.stop();
    this.#last = after;
    this.#connect(query);
  }

  stop(): void {
    this.#source?.close();
    this.#source = undefined;
    clearTimeout(this.#timer);
    clearTimeout(this.#batchTimer);
    this.#batchTimer = undefined;
    this.#batch = [];
    this.#wait = WAIT_MS_FIRST;
    this.state = 'off';
  }

  #connect(query: Query): void {
    this.state = this.state === 'waiting' ? 'waiting' : 'connecting';
    // Without a record to begin behind, the stream begins now, and says where that is.
    const after = this.#last || null;
    const source = new EventSource(address('/v1/records/tail', { ...query, after }));
    this.#source = source;
    source.addEventListener('open', () => {
      this.#wait = WAIT_MS_FIRST;
      this.state = 'live';
    });
    // Where it begins: should it break before the first record, it goes on from there.
    source.addEventListener('begin', (event) => {
      this.#last = Math.max(this.#last, Number(event.lastEventId) || 0);
    });
    source.addEventListener('record', (event) => this.#take(event));
    source.addEventListener('error', () => {
      this.state = 'waiting';
      if (source.readyState === EventSource.CLOSED) this.#later(query);
    });
  }

  #take(event: MessageEvent<string>): void {
    const record = JSON.parse(event.data) as RecordSummary;
    // After a reconnect the server may begin a little earlier.
    if (record.id <= this.#last) return;
    this.#last = record.id;
    this.#batch.unshift(record);
    this.#batch.length = Math.min(this.#batch.length, ROWS_MOST);
    this.#batchTimer ??= setTimeout(() => {
      this.#batchTimer = undefined;
      this.onrecords(this.#batch);
      this.#batch = [];
    }, BATCH_MS);
  }

  #later(query: Query): void {
    const jitter = 0.75 + Math.random() / 2;
    this.#timer = setTimeout(() => {
      // An event source can't tell that the session has ended; a plain question leads to sign-in.
      ask(records({ limit: 1 })).catch(() => undefined);
      this.#connect(query);
    }, this.#wait * jitter);
    this.#wait = Math.min(this.#wait * 2, WAIT_MS_MOST);
  }
}
