import path from 'node:path';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  // Relative: the page works behind any prefix of a reverse proxy.
  base: './',
  // Every text comes through shown/jsx-runtime.ts.
  plugins: [react({ jsxImportSource: 'shown' })],
  resolve: { alias: { 'shown/jsx-runtime': path.join(import.meta.dirname, 'shown/jsx-runtime.ts') } },
  build: {
    outDir: '../../dist/page',
    emptyOutDir: true,
    target: 'es2022',
    // Inline images and scripts would need holes in the Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
