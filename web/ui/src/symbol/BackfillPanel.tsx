import { type FormEvent, useState } from 'react'
import { client, sentence } from '../api/client'
import { useRead } from '../api/read'
import {
  type BackfillStatus,
  BackfillSymbolDocument,
  type Interval,
  SymbolBackfillDocument,
  type SymbolBackfillQuery,
} from '../gql'
import { count, words } from '../kit/figures'
import { Badge, Facts, Field, Notice, type Tone } from '../kit/kit'
import { Ago } from '../kit/times'
import { type Card, symbolFeed } from '../symbols/feed'
import { INTERVALS } from './intervals'
import { ReadPanel } from './ReadPanel'

type Backfill = NonNullable<SymbolBackfillQuery['symbol']>['backfill']

const TONES: Record<BackfillStatus, Tone> = { PENDING: 'plain', IN_PROGRESS: 'info', COMPLETED: 'good', FAILED: 'bad' }

/** How far the filling of a symbol's history has come, and a way to have it filled. */
export function BackfillPanel({ symbol: card }: { symbol: Card }) {
  const reading = useRead(SymbolBackfillDocument, { ticker: card.ticker }, card)
  return (
    <ReadPanel title="Backfill" what="The backfill" reading={reading}>
      {({ symbol }) => (
        <div className="stack">
          {symbol && <State backfill={symbol.backfill} exchange={card.exchange} />}
          <Start ticker={card.ticker} />
        </div>
      )}
    </ReadPanel>
  )
}

function State({ backfill, exchange }: { backfill: Backfill; exchange: string | null }) {
  const { status, error, lastAttemptAt, lastSuccessAt, recordsInserted } = backfill
  const never = status === 'PENDING' && !lastAttemptAt
  return (
    <>
      <p role="status" aria-label="State of the backfill">
        <Badge tone={TONES[status]}>{never ? 'none yet' : words(status)}</Badge>
      </p>
      {error && (
        <Notice tone="bad" role="alert" title="The last backfill failed">
          {error}
        </Notice>
      )}
      {lastAttemptAt && (
        <Facts
          facts={[
            ['Last attempt', <Ago key="attempt" at={lastAttemptAt} exchange={exchange} />],
            ['Last success', lastSuccessAt ? <Ago key="success" at={lastSuccessAt} exchange={exchange} /> : 'none'],
            ['New bars', recordsInserted === null ? '–' : count(recordsInserted)],
          ]}
        />
      )}
    </>
  )
}

type Said = { tone: Tone; text: string }

function Start({ ticker }: { ticker: string }) {
  const [said, say] = useState<Said | null>(null)
  const [isBusy, setBusy] = useState(false)

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const [from, to] = [form.get('from'), form.get('to')].map((day) => (typeof day === 'string' && day ? day : null))
    setBusy(true)
    say(await start(ticker, form.get('interval') as Interval, from ?? null, to ?? null))
    setBusy(false)
  }

  return (
    <form className="backfill-form" aria-label="Start a backfill" onSubmit={(event) => void submit(event)}>
      <Field label="Bars">
        <select className="input" name="interval" defaultValue="ONE_DAY">
          {INTERVALS.filter(([interval]) => interval === 'ONE_DAY' || interval === 'ONE_MINUTE').map(([interval]) => (
            <option key={interval} value={interval}>
              {interval === 'ONE_DAY' ? 'days' : 'minutes, and all that is made of them'}
            </option>
          ))}
        </select>
      </Field>
      <Field label="First day">
        <input className="input" type="date" name="from" />
      </Field>
      <Field label="Last day">
        <input className="input" type="date" name="to" />
      </Field>
      <button type="submit" className="button" disabled={isBusy}>
        {isBusy ? 'Starting…' : 'Start a backfill'}
      </button>
      <p className="soft small hint">Days that are left out: as usual up to today. Only what is missing is fetched.</p>
      {said && (
        <div className="hint">
          <Notice tone={said.tone} role={said.tone === 'warn' ? 'alert' : 'status'}>
            {said.text}
          </Notice>
        </div>
      )}
    </form>
  )
}

async function start(ticker: string, interval: Interval, from: string | null, to: string | null): Promise<Said> {
  const { data, error } = await client.mutation(BackfillSymbolDocument, { input: { ticker, interval, from, to } })
  const answer = data?.backfillSymbol
  if (!answer) return { tone: 'warn', text: sentence(error!) }
  if (answer.__typename !== 'BackfillStarted') return { tone: 'warn', text: answer.message }
  symbolFeed.learn(answer.symbol)
  return { tone: 'info', text: 'It is queued, and starts by itself. Its state is shown above.' }
}
