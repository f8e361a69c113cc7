import { useWindowVirtualizer } from '@tanstack/react-virtual';
import type { ReactNode } from 'react';
import { memo, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { useKey } from '../keys.js';

export interface Column<Item> {
  readonly key: string;
  readonly title: string;
  readonly cell: (item: Item) => ReactNode;
  /** A CSS grid width that begins with what it needs at least, in rem. */
  readonly width: string;
  /** Numbers line up at their right. */
  readonly isNumber?: boolean;
}

export interface Selection {
  readonly ids: ReadonlySet<string>;
  readonly change: (ids: ReadonlySet<string>) => void;
}

/** What is listed: an array, or what has only some of its items at hand. */
export interface Items<Item> {
  readonly length: number;
  /** Undefined while it is not at hand. */
  at(index: number): Item | undefined;
  idAt?(index: number): string;
}

/** Between two columns, and at the sides of a row, in rem. */
const GAP = 0.6;
const SIDES = 1;
const CHECKBOX = 2;
/** How high a card is before it is measured, in rem. */
const CARD = 9;

/** How far off a row is looked for. */
const NEAR = 300;

const remOf = (): number => Number.parseFloat(getComputedStyle(document.documentElement).fontSize);

/**
 * A table of as many rows as there are: only those in sight are in the document. All rows are as high; where the columns
 * do not fit, a row is a card. Keys: `j` and `k` go down and up, `x` selects, Shift selects a range, Enter opens.
 *
 * @param height of a row, in rem
 * @param more fetches the next page; undefined at the end
 * @param onRange which rows are in sight
 * @param onCurrent the row that has the focus
 * @param focus a new object moves the focus to that row
 */
export function Rows<Item extends { readonly id: string }>({
  label,
  items,
  total,
  columns,
  selection,
  height = 2.25,
  open,
  more,
  onRange,
  onCurrent,
  focus,
  current: shownId,
  rowClass,
}: {
  label: string;
  items: Items<Item>;
  total?: number | undefined;
  columns: readonly Column<Item>[];
  selection?: Selection | undefined;
  height?: number;
  open?: ((item: Item) => void) | undefined;
  more?: (() => void) | undefined;
  onRange?: ((first: number, last: number) => void) | undefined;
  onCurrent?: ((item: Item) => void) | undefined;
  focus?: { readonly id: string } | undefined;
  current?: string | undefined;
  rowClass?: ((item: Item) => string) | undefined;
}) {
  const table = useRef<HTMLDivElement>(null);
  const [offset, setOffset] = useState(0);
  const [place, setPlace] = useState<{ index: number; id: string | undefined }>({ index: -1, id: undefined });
  const anchor = useRef<{ index: number; id: string } | undefined>(undefined);
  const idAt = (index: number): string => items.idAt?.(index) ?? items.at(index)!.id;
  const current = whereIs(place, items.length, idAt);
  const setCurrent = (index: number): void => setPlace({ index, id: idAt(index) });

  const all = [...(selection === undefined ? [] : [`${CHECKBOX}rem`]), ...columns.map(({ width }) => width)];
  const least =
    all.reduce((sum, width) => sum + Number.parseFloat(width.replace('minmax(', '')), 0) +
    (all.length - 1) * GAP +
    SIDES;
  const [isTable, setTable] = useState(true);
  const rem = useRef(16);
  useLayoutEffect(() => {
    const element = table.current!;
    const measure = (): void => {
      rem.current = remOf();
      setTable(element.clientWidth >= least * rem.current);
      setOffset(element.getBoundingClientRect().top + scrollY);
    };
    measure();
    const watch = new ResizeObserver(measure);
    watch.observe(element);
    // What is above may become higher, too.
    if (element.parentElement !== null) watch.observe(element.parentElement);
    return () => watch.disconnect();
  }, [least]);

  const rows = useWindowVirtualizer({
    count: items.length,
    estimateSize: () => (isTable ? height : CARD) * rem.current,
    overscan: isTable ? 6 : 4,
    scrollMargin: offset,
    getItemKey: (index) => (isTable ? index : idAt(index)),
    scrollPaddingStart: 6 * rem.current,
    scrollPaddingEnd: 5 * rem.current,
  });
  useLayoutEffect(() => rows.measure(), [isTable, rows]);
  const shown = rows.getVirtualItems();
  const first = shown[0]?.index ?? 0;
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (last >= items.length - 50) more?.();
  }, [last, items.length, more]);
  useEffect(() => onRange?.(first, last), [first, last, onRange]);

  const goTo = (index: number): void => {
    if (index < 0 || index >= items.length) return;
    setCurrent(index);
    rows.scrollToIndex(index);
    // The row may only come into the document with the next frame.
    requestAnimationFrame(() =>
      table.current?.querySelector<HTMLElement>(`[data-index="${index}"]`)?.focus({ preventScroll: isTable }),
    );
  };
  useEffect(() => {
    if (focus === undefined) return;
    for (let index = 0; index < items.length; index++) if (idAt(index) === focus.id) return goTo(index);
  }, [focus]);

  // A row that had the focus and is gone leaves it to the one that took its place.
  const hasFocus = useRef(false);
  const isGiven = useRef(false);
  useLayoutEffect(() => {
    if (!hasFocus.current || document.activeElement !== document.body || current < 0) return;
    isGiven.current = true;
    table.current?.querySelector<HTMLElement>(`[data-index="${current}"]`)?.focus({ preventScroll: true });
    isGiven.current = false;
  });

  const select = (index: number, isRange: boolean): void => {
    if (selection === undefined) return;
    const ids = new Set(selection.ids);
    const last = isRange && anchor.current !== undefined ? whereIs(anchor.current, items.length, idAt) : -1;
    const from = last >= 0 && idAt(last) === anchor.current?.id ? last : index;
    const isOn = !ids.has(idAt(index));
    for (let one = Math.min(from, index); one <= Math.max(from, index); one++)
      if (isOn) ids.add(idAt(one));
      else ids.delete(idAt(one));
    anchor.current = { index, id: idAt(index) };
    selection.change(ids);
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.target instanceof HTMLInputElement && event.target.type !== 'checkbox') return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const item = items.at(Math.max(current, 0));
    const { key } = event;
    if (key === 'j' || key === 'ArrowDown') goTo(current + 1);
    else if (key === 'k' || key === 'ArrowUp') goTo(current - 1);
    else if (key === 'Home') goTo(0);
    else if (key === 'End') goTo(items.length - 1);
    else if (key.toLowerCase() === 'x' && current >= 0) select(current, event.shiftKey);
    else if (key === 'Enter' && item !== undefined && (event.target as HTMLElement).role === 'row')
      open?.(item);
    else return;
    event.preventDefault();
  };

  // These lead into the list, wherever the focus is.
  useKey('j', () => goTo(current + 1));
  useKey('k', () => goTo(Math.max(current - 1, 0)));

  let isAll = selection !== undefined && items.length > 0 && selection.ids.size >= items.length;
  for (let index = 0; isAll && index < items.length; index++) isAll = selection!.ids.has(idAt(index));
  const selectAll = (): void => {
    const ids = isAll ? [] : Array.from({ length: items.length }, (_, index) => idAt(index));
    selection!.change(new Set(ids));
  };

  const keys = new Set<string>();
  return (
    <div
      ref={table}
      className={isTable ? 'rows rows-table' : 'rows rows-cards'}
      role="table"
      aria-label={label}
      aria-rowcount={
        (total ?? (more === undefined ? items.length : -1)) +
        (total === undefined && more !== undefined ? 0 : 1)
      }
      style={{ '--columns': all.join(' '), '--row': `${height}rem` } as React.CSSProperties}
      onKeyDown={onKeyDown}
      onFocus={() => (hasFocus.current = true)}
      // React tells of no blur where the element is gone.
      onBlur={() => (hasFocus.current = false)}
    >
      <div role="rowgroup" className="rows-head">
        <div role="row" aria-rowindex={1} className="row">
          {selection !== undefined && (
            <div role="columnheader" className="cell-check">
              <input
                type="checkbox"
                aria-label="Select all that are loaded"
                checked={isAll}
                onChange={selectAll}
              />
            </div>
          )}
          {columns.map(({ key, title, isNumber }) => (
            <div role="columnheader" key={key} className={isNumber ? 'cell number' : 'cell'}>
              {title}
            </div>
          ))}
        </div>
      </div>
      <div role="rowgroup" className="rows-body" style={{ height: rows.getTotalSize() }}>
        {shown.map(({ index, start }, slot) => {
          const item = items.at(index);
          const id = idAt(index);
          // Rows that fly past are all alike: they are moved, not made anew. Two pages that were fetched at different
          // times may share a row.
          const isAlike = item === undefined && index !== current;
          const key = isAlike ? `slot ${slot}` : keys.has(id) ? `${id} ${index}` : id;
          keys.add(key);
          const isSelected = selection !== undefined && selection.ids.has(id);
          const classes = [
            'row',
            isSelected ? 'selected' : '',
            item !== undefined && item.id === shownId ? 'current' : '',
            item === undefined ? '' : (rowClass?.(item) ?? ''),
          ];
          return (
            <div
              role="row"
              key={key}
              ref={isTable ? undefined : rows.measureElement}
              data-index={index}
              aria-rowindex={index + 2}
              aria-current={shownId !== undefined && item?.id === shownId ? 'true' : undefined}
              tabIndex={index === Math.max(current, 0) ? 0 : -1}
              className={classes.filter(Boolean).join(' ')}
              style={{ transform: `translateY(${start - offset}px)` }}
              onFocus={() => {
                if (current !== index) setCurrent(index);
                // Nobody has gone there who was given the focus.
                if (item !== undefined && !isGiven.current) onCurrent?.(item);
              }}
            >
              {selection !== undefined && (
                <div role="cell" className="cell-check">
                  <input
                    type="checkbox"
                    aria-label={`Select row ${index + 1}`}
                    checked={isSelected}
                    onChange={() => undefined}
                    onClick={(event) => select(index, event.shiftKey)}
                  />
                </div>
              )}
              <Cells item={item} columns={columns as readonly Column<unknown>[]} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** The index of the current row: others before it may have come or gone since. */
function whereIs(
  { index, id }: { readonly index: number; readonly id: string | undefined },
  length: number,
  idAt: (index: number) => string,
): number {
  if (index < 0 || id === undefined || length === 0) return -1;
  for (let away = 0; away < NEAR; away++)
    for (const near of [index - away, index + away])
      if (near >= 0 && near < length && idAt(near) === id) return near;
  return Math.min(index, length - 1);
}

/** They are drawn anew where their item is another one, not with each step of scrolling. */
const Cells = memo(({ item, columns }: { item: unknown; columns: readonly Column<unknown>[] }) =>
  columns.map(({ key, title, cell, isNumber }) => (
    <div role="cell" key={key} className={isNumber ? 'cell number' : 'cell'} data-title={title}>
      {item === undefined ? '…' : cell(item)}
    </div>
  )),
);
