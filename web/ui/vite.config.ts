import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import react from '@vitejs/plugin-react'
import { defineConfig, type Plugin } from 'vite'

const SERVICE = 'http://127.0.0.1:8000'

/** GraphiQL's style sheet holds its fonts as data: addresses, 320 kB of them; the page's own fonts will do. */
const withoutFonts: Plugin = {
  name: 'without-fonts',
  enforce: 'pre',
  transform: (code, id) =>
    /[\\/]graphiql[\\/]dist[\\/]style\.css/.test(id)
      ? { code: code.replace(/@font-face\s*\{[^}]*\}/g, ''), map: null }
      : undefined,
}

/** Compressed once, here: the service would do it again for every reader, and serve nobody else meanwhile. */
const compressed: Plugin = {
  name: 'compressed',
  apply: 'build',
  writeBundle({ dir }) {
    for (const name of readdirSync(dir!, { recursive: true, encoding: 'utf8' })) {
      const path = join(dir!, name)
      if (/\.(js|css|html|svg|ttf)$/.test(name)) writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }))
    }
  },
}

export default defineConfig({
  plugins: [react(), withoutFonts, compressed],
  server: { host: '127.0.0.1', proxy: { '/graphql': { target: SERVICE, ws: true } } },
  // What Monaco's workers import is CommonJS, which the development server has to be told.
  optimizeDeps: {
    include: [
      'monaco-graphql > picomatch-browser',
      'monaco-graphql > graphql-language-service > nullthrows',
      'graphql-language-service > nullthrows',
      'graphql-language-service > debounce-promise',
    ],
  },
  build: {
    outDir: '../static',
    emptyOutDir: true,
    target: ['chrome123', 'edge123', 'firefox120', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      input: { index: 'index.html', playground: 'playground.html' },
      onLog: (level, log, handle) => log.code !== 'MODULE_LEVEL_DIRECTIVE' && handle(level, log),
    },
  },
})
