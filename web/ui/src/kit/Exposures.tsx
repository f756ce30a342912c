import type { ExposureQuality } from '../gql'
import { words } from './figures'
import './exposures.css'

type Exposure = {
  factor: string
  beta: number | null
  rSquared?: number | null
  observations?: number
  quality: ExposureQuality
}

const LEAST_SCALE = 1

/** Betas as bars to both sides of zero, on one scale. */
export function Exposures({ exposures }: { exposures: readonly Exposure[] }) {
  const scale = Math.max(LEAST_SCALE, ...exposures.map(({ beta }) => Math.abs(beta ?? 0)))
  return (
    <ul className="exposures" aria-label="Factor exposures">
      {exposures.map((exposure) => (
        <li key={exposure.factor}>
          <span className="factor">{words(exposure.factor)}</span>
          <span className="bar" aria-hidden>
            {exposure.beta !== null && <Bar share={exposure.beta / scale} />}
          </span>
          <span className="beta">{exposure.beta === null ? '–' : signed(exposure.beta)}</span>
          {basis(exposure) && <span className="basis">{basis(exposure)}</span>}
        </li>
      ))}
    </ul>
  )
}

function Bar({ share }: { share: number }) {
  const width = Math.abs(share) * 50
  return (
    <span className={share < 0 ? 'below' : 'above'} style={{ width: `${width}%`, left: `${share < 0 ? 50 - width : 50}%` }} />
  )
}

const signed = (beta: number) =>
  new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: 'exceptZero' }).format(
    beta,
  )

/** What the beta stands on. */
function basis({ beta, rSquared, observations, quality }: Exposure): string {
  if (beta === null) return 'could not be measured'
  return [
    rSquared != null && `R² ${rSquared.toFixed(2)}`,
    observations !== undefined && observations > 0 && `${observations} days`,
    quality === 'LIMITED_HISTORY' && 'short history',
  ]
    .filter(Boolean)
    .join(', ')
}
