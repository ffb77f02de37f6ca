// A change that is on its way to the API, with the states that every button for it has to show.

import { ApiError } from './api';

export class Sending {
  isSending = $state(false);
  error = $state.raw<ApiError | undefined>();

  /** The answer; nothing when it failed, which `error` explains then. */
  async send<T>(change: () => Promise<T>): Promise<T | undefined> {
    this.isSending = true;
    this.error = undefined;
    try {
      return await change();
    } catch (failure) {
      this.error = ApiError.of(failure);
      return undefined;
    } finally {
      this.isSending = false;
    }
  }
}
