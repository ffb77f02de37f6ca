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

export class Loaded<T> {
  data = $state.raw<T | undefined>();
  error = $state.raw<ApiError | undefined>();
  isLoading = $state(true);
  isSlow = $state(false);
  #again = $state(0);

  /** To be called while a component is set up. */
  constructor(question: () => Question<T>) {
    const url = $derived(question().url);
    $effect(() => {
      void this.#again;
      void router.repeats;
      const asked = url;
      return untrack(() => this.#load(asked));
    });
  }

  retry(): void {
    this.#again += 1;
  }

  #load(url: string): () => void {
    const aborter = new AbortController();
    this.isLoading = true;
    this.error = undefined;
    const cached = cache.get(url) as T | undefined;
    if (cached !== undefined) this.data = cached;
    const slow = setTimeout(() => (this.isSlow = true), SLOW_MS);
    const settle = (): void => {
      clearTimeout(slow);
      this.isLoading = false;
      this.isSlow = false;
    };
    ask<T>({ url }, aborter.signal).then(
      (data) => {
        if (aborter.signal.aborted) return;
        settle();
        keep(url, data);
        this.data = data;
      },
      (error: unknown) => {
        if (aborter.signal.aborted) return;
        settle();
        // What is still there would look like the answer to this question.
        this.data = undefined;
        this.error = ApiError.of(error);
      },
    );
    return () => {
      clearTimeout(slow);
      aborter.abort();
    };
  }
}

function keep(url: string, data: unknown): void {
  cache.delete(url);
  cache.set(url, data);
  const oldest = cache.keys().next().value;
  if (cache.size > CACHED_MOST && oldest !== undefined) cache.delete(oldest);
}
