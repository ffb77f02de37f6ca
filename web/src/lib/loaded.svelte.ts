// An answer of the API in a view: asked for again whenever the question changes, with the states
// that every view has to show.

import { untrack } from 'svelte';
import { ApiError, ask, type Question } from './api';
import { router } from './router.svelte';

/** Sooner than this nobody needs to be told that something is loading. */
const SLOW_MS = 150;
const CACHED_MOST = 24;

/** Recent answers, so that going back shows at once what was there, while it is asked for anew. */
const cache = new Map<string, unknown>();

/** What is asked when somebody says so. A question ends the one before it. */
export class Asked<T> {
  data = $state.raw<T | undefined>();
  error = $state.raw<ApiError | undefined>();
  isLoading = $state(false);
  isSlow = $state(false);
  /** The address of the question that `data` answers. */
  answered = '';
  #url = '';
  #stop: () => void = () => undefined;

  /** Answers that are large or soon out of date are not kept for the way back. */
  constructor(private readonly isKept = true) {}

  ask({ url }: Question<T>): void {
    this.stop();
    this.#url = url;
    const aborter = new AbortController();
    this.isLoading = true;
    this.error = undefined;
    const cached = cache.get(url) as T | undefined;
    if (cached !== undefined) this.#answer(url, cached);
    const slow = setTimeout(() => (this.isSlow = true), SLOW_MS);
    this.#stop = () => {
      clearTimeout(slow);
      aborter.abort();
    };
    const settle = (): void => {
      clearTimeout(slow);
      this.isLoading = false;
      this.isSlow = false;
    };
    ask<T>({ url }, aborter.signal).then(
      (data) => {
        if (aborter.signal.aborted) return;
        settle();
        if (this.isKept) keep(url, data);
        this.#answer(url, data);
      },
      (error: unknown) => {
        if (aborter.signal.aborted) return;
        settle();
        // What is still there would look like the answer to this question.
        this.data = undefined;
        this.error = ApiError.of(error);
      },
    );
  }

  #answer(url: string, data: T): void {
    this.answered = url;
    this.data = data;
  }

  retry(): void {
    this.ask({ url: this.#url });
  }

  /** No answer is waited for any more. */
  stop(): void {
    this.#stop();
    this.isLoading = false;
    this.isSlow = false;
  }

  clear(): void {
    this.stop();
    this.data = undefined;
    this.error = undefined;
  }
}

/** What is asked as soon as it is shown, and again when the question changes. */
export class Loaded<T> extends Asked<T> {
  /** To be called while a component is set up. */
  constructor(question: () => Question<T>, isKept = true) {
    super(isKept);
    this.isLoading = true;
    const url = $derived(question().url);
    $effect(() => {
      void router.repeats;
      const asked = url;
      untrack(() => this.ask({ url: asked }));
      return () => untrack(() => this.stop());
    });
  }
}

function keep(url: string, data: unknown): void {
  cache.delete(url);
  cache.set(url, data);
  const oldest = cache.keys().next().value;
  if (cache.size > CACHED_MOST && oldest !== undefined) cache.delete(oldest);
}
