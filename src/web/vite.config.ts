import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  // Relative: the page works behind any prefix of a reverse proxy.
  base: './',
  plugins: [react()],
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
