import { useRead } from '../api/read'
import { SymbolExposuresDocument, type SymbolExposuresQuery } from '../gql'
import { Exposures } from '../kit/Exposures'
import { Empty } from '../kit/kit'
import type { Card } from '../symbols/feed'
import { ReadPanel } from './ReadPanel'

type Told = NonNullable<SymbolExposuresQuery['symbol']>['factorExposures'][number]

export function ExposuresPanel({ symbol: card }: { symbol: Card }) {
  const reading = useRead(SymbolExposuresDocument, { ticker: card.ticker }, card)
  return (
    <ReadPanel title="Factor exposures" what="The factor exposures" reading={reading}>
      {({ symbol }) => <Measured exposures={symbol?.factorExposures ?? []} />}
    </ReadPanel>
  )
}

function Measured({ exposures }: { exposures: readonly Told[] }) {
  if (!exposures.length) return <Empty title="No factors are known">They are measured when a symbol is onboarded.</Empty>
  return <Exposures exposures={exposures.map((exposure) => ({ ...exposure, basis: exposure }))} />
}
