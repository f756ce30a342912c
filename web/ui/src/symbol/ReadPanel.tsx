import type { ReactNode } from 'react'
import type { Reading } from '../api/read'
import { Failure, Panel, Skeletons } from '../kit/kit'

type ReadPanelProps<Data> = {
  title: string
  /** That which could not be read, as `The levels`. */
  what: string
  reading: Reading<Data>
  children: (data: Data) => ReactNode
}

/** A panel that is loading, or has failed, by itself. */
export function ReadPanel<Data>({ title, what, reading: { data, error, retry }, children }: ReadPanelProps<Data>) {
  return (
    <Panel title={title}>
      {error !== undefined && <Failure what={`${what} could not be read`} error={error} retry={retry} />}
      {error === undefined && data === undefined && (
        <Skeletons label={`Loading: ${title}`} className="stack" number={4} height={28} />
      )}
      {error === undefined && data !== undefined && children(data)}
    </Panel>
  )
}
