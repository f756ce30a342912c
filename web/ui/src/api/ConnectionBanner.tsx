import { useTicking } from '../kit/times'
import { useConnection } from './connection'

/** While the service is not heard: what is on the screen may be old. */
export function ConnectionBanner() {
  const connection = useConnection()
  const since = connection.state === 'reconnecting' ? connection.since : 0
  const seconds = useTicking(() => (since ? String(Math.round((Date.now() - since) / 1000)) : ''))
  return (
    <div role="status" aria-label="Connection">
      {connection.state === 'reconnecting' && (
        <p className="connection-lost">
          <span aria-hidden>⟳ </span>Reconnecting… not heard for {seconds} s. What you see may be old.
        </p>
      )}
    </div>
  )
}
