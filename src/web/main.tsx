import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Router } from 'wouter';
import { ApiError } from './api.js';
import { App } from './app.js';
import { useHashPath } from './route.js';
import './styles/index.css';

/** A session that has ended shows the sign-in, whatever asked. */
const onError = (error: Error): void => {
  const known = client.getQueryState(['session']);
  if (error instanceof ApiError && error.status === 401 && known?.status === 'success')
    void client.invalidateQueries({ queryKey: ['session'] });
};
const client = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: {
    queries: {
      // A browser that takes itself for offline would wait without a word, and it may be wrong.
      networkMode: 'always',
      refetchOnReconnect: true,
      staleTime: 5000,
      // Only what another attempt may mend.
      retry: (failures, error) =>
        failures < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
    },
    mutations: { networkMode: 'always' },
  },
});

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <Router hook={useHashPath} hrefs={(href) => `#${href}`}>
        <App />
      </Router>
    </QueryClientProvider>
  </StrictMode>,
);
