// How the pages are built: everything hashed below /ui/, nothing inline, so that the server can send
// a content security policy without exceptions.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

const THEME_SCRIPT = 'src/shell/first-paint.js';

// The chosen theme has to be known before the first paint. Modules run too late for that and the
// policy forbids inline scripts, so this one small script blocks.
function firstPaint(): Plugin {
  let isBuild = false;
  return {
    name: 'landline-first-paint',
    configResolved(config) {
      isBuild = config.command === 'build';
    },
    buildStart() {
      if (!isBuild) return;
      const source = readFileSync(new URL(THEME_SCRIPT, import.meta.url), 'utf8');
      this.emitFile({ type: 'asset', name: 'first-paint.js', source });
    },
    transformIndexHtml: {
      order: 'post',
      handler(_html, context) {
        const assets = Object.values(context.bundle ?? {});
        const asset = assets.find((file) => /first-paint-[^/]*\.js$/.test(file.fileName));
        const src = `/ui/${asset?.fileName ?? THEME_SCRIPT}`;
        return [{ tag: 'script', attrs: { src }, injectTo: 'head-prepend' }];
      },
    },
  };
}

// The program sends what is compressed here; it has the time for it once, and no server ever.
function compressed(): Plugin {
  const smallest = 512;
  const ways: [ending: string, compress: (content: Buffer) => Buffer][] = [
    ['gz', (content) => gzipSync(content, { level: constants.Z_BEST_COMPRESSION })],
    ['br', (content) => brotliCompressSync(content, {
      params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY },
    })],
  ];
  return {
    name: 'landline-compressed',
    apply: 'build',
    writeBundle({ dir = '' }, bundle) {
      for (const name of Object.keys(bundle)) {
        const content = readFileSync(join(dir, name));
        if (content.length < smallest) continue;
        for (const [ending, compress] of ways) {
          const short = compress(content);
          if (short.length < content.length) writeFileSync(join(dir, `${name}.${ending}`), short);
        }
      }
    },
  };
}

// While one edits, pages have the same addresses as in the product.
function pagePaths(): Plugin {
  return {
    name: 'landline-page-paths',
    configureServer(server) {
      server.middlewares.use((request, _response, next) => {
        const isPage = /^\/((explore|targets|graph|query)?(?=\?|$)|telemetryui(?!\/records\/export\/)|runs(?=[/?]|$))/.test(request.url ?? '');
        if (isPage) request.url = '/ui/index.html';
        next();
      });
    },
  };
}

const LANDLINE = process.env['LANDLINE'] ?? 'http://127.0.0.1:4173';
// Samples can come from a Prometheus instead.
const METRICS = process.env['METRICS'] ?? LANDLINE;

export default defineConfig({
  base: '/ui/',
  plugins: [
    svelte({
      configFile: false,
      // Short names: each stands in the code a few hundred times.
      compilerOptions: { cssHash: ({ hash, filename }) => `s${hash(filename).slice(0, 5)}` },
    }),
    firstPaint(),
    pagePaths(),
    compressed(),
  ],
  build: {
    target: 'es2022',
    modulePreload: false,
    // A data: URL for a style or a script would not pass the policy.
    assetsInlineLimit: 0,
  },
  server: {
    // `npm run dev` beside `npm run mock`, or beside a Landline on its usual port.
    proxy: {
      '/v1': LANDLINE, '/api/v1': METRICS, '/download': LANDLINE, '/telemetryui/records/export': LANDLINE,
    },
  },
});
