// What two thousand functions cost the page that lists them, in Debian's Chromium: until they are there after the answer, and in each frame of a
// scroll through all of them; in time, and in time of the page's main thread on a processor, which other work on the machine changes less.
import { open, scrollThrough, startBrowser, twoThousand } from '../tests/web/browser.mjs';
import { startStack } from '../tests/lib/stack.mjs';

export async function web({ note, section, median, quick }) {
  section('The web UI');
  const stack = await startStack(), browser = await startBrowser();
  try {
    const made = await stack.deploy('hello', { 'index.ts': 'Deno.serve(() => new Response());\n' });
    if (made.status !== 201) throw new Error(`deploy: ${made.status} ${made.text}`);
    await twoThousand(stack, 'hello');
    const seen = { ms: [], processor: [], frame: [], long: [], empty: [] };
    for (let round = 0; round < (quick ? 3 : 9); round++) {
      const ui = await open(browser, stack), { page } = ui;
      await ui.view('templates');
      const cdp = await page.context().newCDPSession(page);
      await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
      const onProcessor = async () => 1000 * (await cdp.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration').value;
      const before = await onProcessor();
      // In the page, so that nothing between it and us counts: from the end of the answer to the first frame with rows.
      const shown = page.evaluate(() => new Promise((resolve) => {
        const look = () => {
          const answer = performance.getEntriesByType('resource').find(({ name }) => name.endsWith('/functions?include=activity'));
          if (answer && document.querySelector('.body-row')) requestAnimationFrame(() => resolve(performance.now() - answer.responseEnd));
          else requestAnimationFrame(look);
        };
        look();
      }));
      await page.getByRole('link', { name: 'Functions' }).first().click();
      seen.ms.push(await shown);
      seen.processor.push(await onProcessor() - before);
      const start = await onProcessor(), scroll = await scrollThrough(page);
      seen.frame.push((await onProcessor() - start) / scroll.frames);
      seen.long.push(scroll.tasks.length);
      seen.empty.push(scroll.blank);
      await ui.finish();
    }
    note('web', '2,000 functions in the list: there after the answer, s', { ms: median(seen.ms), processor_ms: median(seen.processor) }, median(seen.ms) / 1000, 'under', 1);
    note('web', 'processor time of a frame of scrolling through them, ms', { frame_ms: median(seen.frame), tasks_over_50_ms: median(seen.long), empty_frames: median(seen.empty) }, median(seen.frame), 'under', 16);
  } finally {
    await browser.close();
    await stack.stop();
  }
}
