// The time for everything that is shown relative to now. It moves on slowly: reading is calmer when
// not every row changes each second.

const TICK_MS = 15_000;

class Clock {
  now = $state(Date.now());

  start(): void {
    setInterval(() => (this.now = Date.now()), TICK_MS);
    // A tab that was asleep is behind.
    addEventListener('focus', () => (this.now = Date.now()));
  }
}

export const clock = new Clock();
