// A page of the browser that is watched: errors in its console, broken scripts, breaches of the
// content security policy, answers of failure and overflow are faults, wherever they happen.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const SLOWEST_MS = 20_000;
const PICTURE_HEIGHT_MOST = 2_400;

export class Watched {
  faults = [];
  /** Statuses that what is tried at the moment may be answered with. */
  #expected = new Set();

  static async open(browser, task, view) {
    const [theme, width] = view.split('-');
    const context = await browser.newContext({
      viewport: { width: Number(width), height: 800 },
      colorScheme: theme,
      reducedMotion: 'reduce',
      // The certificate is one of the cluster's own authority.
      ignoreHTTPSErrors: true,
      acceptDownloads: true,
    });
    const page = await context.newPage();
    page.setDefaultTimeout(SLOWEST_MS);
    return new Watched(page, context, task, view);
  }

  constructor(page, context, task, view) {
    this.page = page;
    this.context = context;
    this.task = task;
    this.view = view;
    this.isNarrow = view.endsWith('-360');
    this.origin = `https://${task.host}:${task.port}`;
    page.on('pageerror', (error) => this.faults.push(`broken script: ${error.message}`));
    page.on('console', (message) => {
      const text = message.text();
      // The answer itself is judged below.
      if (text.startsWith('Failed to load resource: the server responded')) return;
      if (['error', 'warning'].includes(message.type())) this.faults.push(`console: ${text}`);
    });
    page.on('response', (response) => {
      const status = response.status();
      if (status >= 400 && !this.#expected.has(status)) {
        this.faults.push(`${response.request().method()} ${response.url()}: ${status}`);
      }
    });
  }

  /** Before the first page: breaches of the policy that the console does not tell. */
  async watchPolicy() {
    await this.page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
      });
    });
  }

  async expecting(status, act) {
    this.#expected.add(status);
    await act();
    this.#expected.delete(status);
  }

  async go(path) {
    await this.page.goto(this.origin + path, { waitUntil: 'load' });
    await this.page.waitForSelector('h1');
  }

  /** Looks at the whole page as it is now, and leaves a picture of it. */
  async look(name) {
    const { page } = this;
    const overflow = await page.evaluate(() => {
      const root = document.documentElement;
      return root.scrollWidth - root.clientWidth;
    });
    assert.equal(overflow, 0, `${name} is ${overflow} px wider than the window`);
    assert.equal(await page.locator('h1').count(), 1, `${name} has one heading of the first level`);
    const size = page.viewportSize();
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    await page.setViewportSize({ ...size, height: Math.min(height, PICTURE_HEIGHT_MOST) });
    await page.waitForTimeout(80);
    mkdirSync(this.task.pictures, { recursive: true });
    await page.screenshot({ path: join(this.task.pictures, `${name}-${this.view}.png`) });
    await page.setViewportSize(size);
  }

  /** What was wrong since somebody asked last. */
  takeFaults() {
    return this.faults.splice(0);
  }
}
