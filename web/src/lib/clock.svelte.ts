// The time for everything that is shown relative to now. It moves on slowly: reading is calmer when
// not every row changes each second.

const TICK_MS = 15_000;

class Clock {
  now = $state(Date.now());

  start(): void {
    const tick = (): void => void (document.hidden || (this.now = Date.now()));
    setInterval(tick, TICK_MS);
    // A tab that was asleep, or that nobody saw, is behind.
    addEventListener('focus', tick);
    addEventListener('visibilitychange', tick);
  }
}

export const clock = new Clock();
