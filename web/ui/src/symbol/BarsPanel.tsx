import { useMemo } from 'react'
import { Link } from 'wouter'
import { Candles, type Gap, type Line } from '../charts/Candles'
import type { Interval, SymbolLevelsQuery, SymbolStatisticsQuery } from '../gql'
import { count } from '../kit/figures'
import { Button, Empty, Failure, Panel, Skeletons } from '../kit/kit'
import { zoneOf } from '../kit/times'
import { isRunning, useSession } from '../session/feed'
import type { Card } from '../symbols/feed'
import { useBars } from './bars'
import { CAUSES } from './causes'
import { textOf } from './intervals'

const HEIGHT = 440

type BarsPanelProps = {
  symbol: Card
  interval: Interval
  levels: SymbolLevelsQuery | undefined
  statistics: SymbolStatisticsQuery | undefined
}

export function BarsPanel({ symbol, interval, levels, statistics }: BarsPanelProps) {
  const { ticker } = symbol
  const { bars, error, isReadingBack, readOlder, retry } = useBars(ticker, interval, symbol)
  const lines = useMemo(() => linesOf(levels), [levels])
  const gaps = useMemo(() => gapsOf(statistics), [statistics])
  return (
    <Panel title="Bars">
      {error !== undefined && <Failure what="The bars could not be read" error={error} retry={retry} />}
      {error === undefined && !bars && <Skeletons label="Loading the bars" number={1} height={HEIGHT + 60} />}
      {error === undefined && bars && !bars.candles.length && !bars.withheld && <NoBars symbol={symbol} interval={interval} />}
      {error === undefined && bars && (bars.candles.length > 0 || bars.withheld) && (
        <>
          <Candles
            label={`${ticker}, ${textOf(interval)}`}
            candles={bars.candles}
            lines={lines}
            gaps={gaps}
            height={HEIGHT}
            isDaily={interval === 'ONE_DAY'}
            zone={zoneOf(symbol.exchange)}
            withheld={bars.withheld ? 'The session is not active, and bars of its day are not shown until it is.' : undefined}
            onBeginning={readOlder}
          />
          <div className="bars-foot">
            <SessionNote ticker={ticker} />
            <p className="soft small" role="status">
              {isReadingBack ? 'Loading older bars…' : `${count(bars.candles.length)} bars loaded`}
            </p>
            {bars.older && (
              <Button blocked={isReadingBack ? 'Older bars are being loaded.' : undefined} onClick={() => void readOlder()}>
                Load older bars
              </Button>
            )}
          </div>
        </>
      )}
    </Panel>
  )
}

function NoBars({ symbol: { ticker, status }, interval }: { symbol: Card; interval: Interval }) {
  if (status === 'ONBOARDING')
    return <Empty title="No bars yet">They come with the onboarding of {ticker}, which is under way.</Empty>
  return (
    <Empty title={`No bars of ${textOf(interval)}`}>
      <p>
        {interval === 'ONE_DAY' ? `None are held of ${ticker}.` : 'They are made of minutes, and none are held.'} A backfill
        brings what the provider has.
      </p>
    </Empty>
  )
}

/** A replay's bars are the session's own. */
function SessionNote({ ticker }: { ticker: string }) {
  const session = useSession()
  if (!session || !isRunning(session) || session.mode !== 'REPLAY') return null
  if (!session.symbols.some((symbol) => symbol.ticker === ticker)) return null
  return (
    <p className="small">
      It takes part in a replay, whose bars move on <Link href="/session">the session's page</Link>.
    </p>
  )
}

const linesOf = (levels: SymbolLevelsQuery | undefined): readonly Line[] =>
  (levels?.symbol?.levels ?? []).map(({ kind, price, priceUpper }) => ({
    price: Number(price),
    ...(priceUpper !== null && { upper: Number(priceUpper) }),
    label: kind === 'SUPPORT' ? 'S' : 'R',
    tone: kind === 'SUPPORT' ? 'good' : 'bad',
  }))

const gapsOf = (statistics: SymbolStatisticsQuery | undefined): readonly Gap[] =>
  (statistics?.symbol?.stats.missingIntervals ?? []).map(({ start, end, cause }) => ({
    start: new Date(start).getTime() / 1000,
    end: new Date(end).getTime() / 1000,
    label: `Bars are missing here: ${CAUSES[cause]}`,
  }))
