import { KurrentDBClient } from '@kurrent/kurrentdb-client';

/** Does with the client itself what the store has no word for. */
export async function direct<T>(url: string, act: (client: KurrentDBClient) => Promise<T>): Promise<T> {
  const client = KurrentDBClient.connectionString(url);
  try {
    return await act(client);
  } finally {
    await client.dispose();
  }
}
