// Uses the pages of a running Landline as people do, once for each view. The end-to-end tests start
// it; the only argument is a JSON object that says where everything is.
//
// Prints a line for each thing that was done, and fails when one could not be done or anything broke
// meanwhile.

import { rmSync } from 'node:fs';
import { launch } from '../dev/browser.mjs';
import { acceptInvitation, signIn } from './signing.mjs';
import { VISITS } from './visits.mjs';
import { Watched } from './watched.mjs';
import { METRIC_STEPS } from './metrics.mjs';
import { RUN_STEPS } from './runs.mjs';
import { STEPS } from './steps.mjs';

const PASSWORD = 'correct horse battery';
const task = JSON.parse(process.argv[2]);
task.password = PASSWORD;

// Pictures of an earlier run would tell of failures that are mended.
rmSync(task.pictures, { recursive: true, force: true });
const browser = await launch({
  program: task.chromium,
  // The host has no address of its own; by its name the browser is nobody of this machine.
  more: [`--host-resolver-rules=MAP ${task.host} 127.0.0.1`],
});
let failures = 0;

async function attempt(name, watched, act) {
  const begun = performance.now();
  let problem = '';
  try {
    await act();
  } catch (error) {
    problem = error.message;
    await watched.page.screenshot({ path: `${task.pictures}/FAILED-${watched.view}.png` }).catch(() => undefined);
  }
  const faults = watched.takeFaults();
  if (problem === '' && faults.length === 0) {
    console.log(`ok ${watched.view} ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
    return;
  }
  failures += 1;
  console.log(`FAILED ${watched.view} ${name}\n  at ${watched.page.url()}`);
  for (const line of [problem, ...faults]) if (line !== '') console.log(`  ${line}`);
}

for (const [number, view] of task.views.entries()) {
  const watched = await Watched.open(browser, task, view);
  await watched.watchPolicy();
  if (number === 0) await attempt('a link makes a user', watched, () => acceptInvitation(watched));
  await attempt('signing in leads back', watched, () => signIn(watched));
  for (const [name, step] of Object.entries({ ...STEPS, ...RUN_STEPS, ...METRIC_STEPS })) await attempt(name, watched, () => step(watched));
  for (const [name, path, ready] of VISITS) {
    await attempt(`the page ${name}`, watched, async () => {
      await watched.go(path);
      await watched.page.waitForSelector(ready);
      await watched.page.waitForLoadState('networkidle');
      await watched.look(name);
    });
  }
  await watched.context.close();
}
await browser.close();
process.exitCode = failures === 0 ? 0 : 1;
