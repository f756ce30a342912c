import { useEffect, useMemo, useRef, useState } from 'react'
import { many } from '../kit/figures'
import { Button, Choices, Facts, Notice, Panel } from '../kit/kit'
import { bring, type Importing, useImporting } from './importing'
import { LineTable } from './LineTable'
import { isWrong, linesOf } from './lines'

const SHOWS = [
  ['all', 'All lines'],
  ['wrong', 'Mistakes only'],
] as const
const MOST_NAMED = 20
/** In a long file, the mistakes are what is to be seen first. */
const LONG = 200

/** What the service has read in the file, before anything is written. */
export function Review({ checked }: { checked: NonNullable<Importing['checked']> }) {
  const { rows, errors, text, knownTickers, unknownTickers } = checked
  const lines = useMemo(() => linesOf(text, rows, errors), [text, rows, errors])
  const unknown = useMemo(() => new Set(unknownTickers), [unknownTickers])
  const [show, setShow] = useState<(typeof SHOWS)[number][0]>(errors.length && rows.length > LONG ? 'wrong' : 'all')
  const wrong = lines.filter(isWrong)
  const ref = useRef<HTMLDivElement>(null)
  useEffect(() => ref.current?.focus(), [])
  return (
    <div ref={ref} tabIndex={-1} className="review">
      <Panel
        title="What is in it"
        actions={errors.length > 0 && <Choices label="Lines" name="lines" options={SHOWS} value={show} onChange={setShow} />}
      >
        <div className="stack">
          <p role="status">
            <strong>
              {many(rows.length, 'good row')},{' '}
              {errors.length ? `${many(errors.length, 'mistake')} in ${many(wrong.length, 'line')}` : 'no mistake'}.
            </strong>{' '}
            Nothing is written yet.
          </p>
          {rows.length > 0 && (
            <Facts
              facts={[
                [`Tracked already: ${knownTickers.length}`, named(knownTickers)],
                [`To be onboarded: ${unknownTickers.length}`, named(unknownTickers)],
              ]}
            />
          )}
          <Decision checked={checked} />
          <LineTable key={show} label="Lines of the file" lines={show === 'wrong' ? wrong : lines} unknown={unknown} />
        </div>
      </Panel>
    </div>
  )
}

function Decision({ checked }: { checked: NonNullable<Importing['checked']> }) {
  const { name, text, isBusy, refusal } = useImporting()
  const { rows, errors } = checked
  const blocked =
    text !== checked.text
      ? 'The text was changed since: check it again first.'
      : !name.trim()
        ? 'Name the portfolio first.'
        : isBusy
          ? 'One moment: the service is at work.'
          : undefined
  const isReplacing = refusal?.version !== undefined
  return (
    <>
      {text !== checked.text && <Notice tone="info">The text was changed since. Check it again to import it.</Notice>}
      {errors.length > 0 && (
        <p className="soft small">
          {rows.length
            ? 'Correct the lines above and check again, or import only the good rows.'
            : 'Correct the text above and check again.'}
        </p>
      )}
      {rows.length > 0 && !isReplacing && (
        <p className="buttons">
          <Button kind="primary" blocked={blocked} onClick={() => void bring({ acceptValidRows: errors.length > 0 })}>
            {isBusy === 'importing'
              ? 'Importing…'
              : errors.length
                ? 'Import the good rows only'
                : `Import ${many(rows.length, 'row')}`}
          </Button>
        </p>
      )}
      {refusal && (
        <Notice
          tone="warn"
          role="alert"
          title={isReplacing ? `There is a portfolio ${name.trim()} already` : 'It was not imported'}
          actions={
            refusal.version !== undefined &&
            !errors.length && (
              <Button kind="primary" blocked={blocked} onClick={() => void bring({ expectedVersion: refusal.version! })}>
                Replace it
              </Button>
            )
          }
        >
          {isReplacing ? replacing(refusal.version!, errors.length > 0) : refusal.text}
        </Notice>
      )}
    </>
  )
}

const replacing = (version: number, hasMistakes: boolean) =>
  hasMistakes
    ? 'A portfolio is replaced by a whole file only: correct the mistakes first, or choose another name above.'
    : `It has other lots, and is at version ${version}. Replace them by this file’s, or choose another name above.`

function named(tickers: readonly string[]): string {
  const rest = tickers.length - MOST_NAMED
  return tickers.slice(0, MOST_NAMED).join(', ') + (rest > 0 ? ` and ${many(rest, 'other')}` : '') || '–'
}
