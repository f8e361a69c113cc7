import { useQueryClient } from '@tanstack/react-query';
import type { FormEvent, ReactNode } from 'react';
import { useEffect, useRef, useState } from 'react';
import { useLocation } from 'wouter';
import { answered, api } from './api.js';
import icon from './favicon.svg';
import { useKey } from './keys.js';
import { useLiveState } from './live.js';
import { useBlockCount } from './parts/blocks.js';
import { Dialog } from './parts/dialog.js';
import { fault } from './parts/notes.js';
import { sendPending } from './parts/pending.js';
import { navigate, searchOf, senderPath, useAt, useHref, useQuery as useUrlQuery } from './route.js';
import { Time, useNow } from './time.js';
import { useRights, useWho } from './who.js';

/** What is around each screen: where one can go, what is waiting, whether it is live, who one is. */
export function Frame({ children }: { children: ReactNode }) {
  const [path] = useLocation();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const screen = path.split('/')[1] ?? '';
  useEffect(() => {
    // A screen reader reads on from the new screen, not from the link that was followed.
    if (!first.current) main.current?.focus();
    first.current = false;
    scrollTo(0, 0);
  }, [screen]);
  const [hasHelp, setHelp] = useState(false);
  useKey('?', () => setHelp(true));
  return (
    <div className="frame">
      <a className="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the content
      </a>
      <header className="top">
        <a className="brand" href="#/">
          <img src={icon} alt="" width="22" height="22" /> Stopgap
        </a>
        <Search />
        <LiveMark />
        <AtPicker />
        <UserMenu showKeys={() => setHelp(true)} />
      </header>
      <Nav screen={screen} />
      <main id="main" ref={main} tabIndex={-1}>
        <AtNotice />
        {children}
      </main>
      {hasHelp && <KeysDialog close={() => setHelp(false)} />}
    </div>
  );
}

function Nav({ screen }: { screen: string }) {
  const href = useHref();
  const { seesServer, operates } = useRights();
  const at = useAt();
  const proposed = useBlockCount('proposed', at).data?.total;
  const active = useBlockCount('active', at).data?.total;
  const link = (name: string, text: string, waiting?: number) => (
    <li>
      <a href={`#${href(`/${name}`)}`} aria-current={screen === name ? 'page' : undefined}>
        {text}
        {waiting !== undefined && waiting > 0 && <span className="count">{waiting.toLocaleString()}</span>}
      </a>
    </li>
  );
  return (
    <nav aria-label="Screens">
      <ul>
        {link('', 'Overview')}
        {link('proposals', 'Proposals', proposed)}
        {link('blocks', 'Blocks', active)}
        {seesServer && link('rules', 'Rules')}
        {link('exemptions', 'Exemptions')}
        {operates && link('notices', 'Notices')}
        {link('people', 'People')}
        {link('changes', 'Changes')}
      </ul>
    </nav>
  );
}

/** Goes to the sender that is named, else searches the blocks. */
function Search() {
  const field = useRef<HTMLInputElement>(null);
  const href = useHref();
  useKey('/', () => field.current?.focus());
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const text = field.current!.value.trim();
    if (text === '') return;
    field.current!.value = '';
    field.current!.blur();
    navigate(href(placeOf(text), placeOf(text) === '/blocks' ? { q: text, state: 'all' } : {}));
  };
  return (
    <search>
      <form onSubmit={submit}>
        <input
          ref={field}
          type="search"
          aria-label="Find an account, an address or a block"
          placeholder="Find a sender  ( / )"
        />
      </form>
    </search>
  );
}

function placeOf(text: string): string {
  if (/^[^\s@]+@[^\s@]+$/.test(text)) return senderPath({ type: 'account', value: text });
  if (/^[\da-f.:]+(\/\d+)?$/i.test(text) && /[.:]/.test(text)) return senderPath({ type: 'ip', value: text });
  if (/^[\w-]+(\.[\w-]+)+$/.test(text)) return senderPath({ type: 'domain', value: text });
  return '/blocks';
}

function LiveMark() {
  const { is, heardAt } = useLiveState();
  const now = useNow();
  if (is === 'live')
    return (
      <p className="live" role="status">
        <span className="dot dot-good" /> Live
      </p>
    );
  if (is === 'connecting' && now - heardAt < 5000) return <p className="live" role="status" />;
  return (
    <p className="live live-lost" role="status">
      <span className="dot dot-bad" /> As of <Time at={new Date(heardAt).toISOString()} as="clock" />,
      reconnecting
    </p>
  );
}

/** Lets a past instant be chosen. */
function AtPicker() {
  const at = useAt();
  const [isOpen, setOpen] = useState(false);
  const [, change] = useUrlQuery();
  const set = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const instant = new Date(new FormData(event.currentTarget).get('at') as string);
    if (Number.isNaN(instant.getTime())) return;
    change({ at: instant.toISOString() });
    setOpen(false);
  };
  return (
    <>
      <button type="button" className="bare" onClick={() => setOpen(true)}>
        As of {at === undefined ? 'now' : <Time at={at} />}
      </button>
      {isOpen && (
        <Dialog title="Show how it was" close={() => setOpen(false)}>
          <form onSubmit={set}>
            <div className="field">
              <label htmlFor="at">Day and time, in your zone</label>
              <input
                id="at"
                name="at"
                type="datetime-local"
                step="1"
                required
                defaultValue={localInput(at)}
                max={localInput()}
              />
            </div>
            <div className="buttons">
              <button type="submit" className="primary">
                Show it
              </button>
              <button
                type="button"
                onClick={() => {
                  change({ at: undefined });
                  setOpen(false);
                }}
              >
                Back to now
              </button>
            </div>
          </form>
        </Dialog>
      )}
    </>
  );
}

function localInput(at?: string): string {
  const instant = at === undefined ? new Date() : new Date(at);
  return new Date(instant.getTime() - instant.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** Says that the past is shown, on each screen. */
function AtNotice() {
  const at = useAt();
  const [, change] = useUrlQuery();
  if (at === undefined) return null;
  return (
    <p className="at-notice" role="status">
      This is how it was at <Time at={at} />. Nothing can be changed here.{' '}
      <button type="button" onClick={() => change({ at: undefined })}>
        Back to now
      </button>
    </p>
  );
}

function UserMenu({ showKeys }: { showKeys: () => void }) {
  const who = useWho();
  const { seesServer } = useRights();
  const client = useQueryClient();
  const signOut = async (): Promise<void> => {
    // Where one was not sent they are told so, and are still here to decide.
    if (!(await sendPending())) return;
    await answered(api.DELETE('/api/v1/session'));
    client.clear();
    location.reload();
  };
  return (
    <div className="user">
      <button type="button" className="bare" popoverTarget="user-menu">
        {who.name}
      </button>
      <div id="user-menu" popover="auto" className="menu">
        <p className="quiet">{who.role === 'domain' ? `administers ${who.domains.join(', ')}` : who.role}</p>
        <a href={`#/people${searchOf({})}`}>Sessions and password</a>
        {seesServer && <a href="#/storage">Storage</a>}
        <a href="#/api">API</a>
        <button type="button" onClick={showKeys}>
          Keys
        </button>
        {who.session !== null && (
          <button
            type="button"
            popoverTarget="user-menu"
            popoverTargetAction="hide"
            onClick={() => void signOut().catch(fault)}
          >
            Sign out
          </button>
        )}
      </div>
    </div>
  );
}

const KEYS = [
  ['/', 'find a sender'],
  ['j  k', 'down and up a list'],
  ['x', 'select; with Shift a range'],
  ['Enter', 'open'],
  ['a', 'approve a proposal'],
  ['d', 'dismiss it'],
  ['f', 'dismiss it as a false positive'],
  ['e', 'exempt its sender'],
  ['Esc', 'close'],
  ['?', 'this list'],
] as const;

function KeysDialog({ close }: { close: () => void }) {
  return (
    <Dialog title="Keys" close={close}>
      <dl className="facts">
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <div className="buttons">
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
