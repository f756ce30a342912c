import { useSearchParams } from 'wouter'
import { Candles } from '../charts/Candles'
import { Choices, Failure, Panel, Skeleton } from '../kit/kit'
import { zoneOf } from '../kit/times'
import { INTERVALS } from '../symbol/intervals'
import { useSymbol } from '../symbols/feed'
import type { Part, Session } from './feed'
import { useTape } from './tape'
import { whyShut, withheldAlone } from './told'

const HEIGHT = 380

/** The candles of one of its symbols, as the outside sees them; which is kept in the address. */
export function SessionCandles({ session }: { session: Session }) {
  const [params, setParams] = useSearchParams()
  const wished = params.get('symbol')
  const part = session.symbols.find(({ ticker }) => ticker === wished) ?? session.symbols[0]
  const interval = INTERVALS.find(([, short]) => short === params.get('interval')) ?? INTERVALS[0]!
  const wish = (name: string, value: string) =>
    setParams((held) => new URLSearchParams([...[...held].filter(([other]) => other !== name), [name, value]]), {
      replace: true,
    })
  if (!part) return null
  return (
    <Panel
      title="Candles"
      actions={
        <div className="session-actions">
          <select
            className="input"
            aria-label="Symbol of the candles"
            value={part.ticker}
            onChange={({ target }) => wish('symbol', target.value)}
          >
            {session.symbols.map(({ ticker }) => (
              <option key={ticker}>{ticker}</option>
            ))}
          </select>
          <Choices
            label="Interval"
            name="session-interval"
            options={INTERVALS.map(([, short]) => [short, short] as const)}
            value={interval[1]}
            onChange={(short) => wish('interval', short)}
          />
        </div>
      }
    >
      {/* Added anew, or to another session, it begins from nothing. */}
      <Tape key={`${part.ticker} ${interval[0]} ${part.addedAt}`} part={part} interval={interval} session={session} />
    </Panel>
  )
}

type TapeProps = { part: Part; interval: (typeof INTERVALS)[number]; session: Session }

function Tape({ part, interval: [interval, , words], session }: TapeProps) {
  const { state, candles, isWithheld, error, retry } = useTape(part.ticker, interval, session)
  const exchange = useSymbol(part.ticker)?.exchange
  if (state === 'failed')
    return <Failure what={`The bars of ${part.ticker} could not be read`} error={error ?? ''} retry={() => void retry()} />
  if (state === 'loading') return <Skeleton height={HEIGHT} />
  return (
    <Candles
      label={`${part.ticker} in the session, ${words}`}
      candles={candles}
      height={HEIGHT}
      isDaily={interval === 'ONE_DAY'}
      zone={zoneOf(exchange)}
      withheld={session.active ? (isWithheld ? withheldAlone(part) : undefined) : whyShut(session)}
    />
  )
}
