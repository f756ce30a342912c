// How the service is doing, read again every few seconds while somebody looks.
import { useCallback, useEffect, useRef, useState } from 'react'
import { client, sentence } from '../api/client'
import { setClock } from '../api/clock'
import { AboutDocument, type AboutQuery, StandingDocument, type StandingQuery } from '../gql'

export type About = AboutQuery['service']
export type Standing = StandingQuery['service']
export type Loop = About['loops'][number]
export type Provider = Standing['providers'][number]
export type ClassFreshness = Standing['freshness'][number]
export type Queue = Standing['queues'][number]

/** What was read last, and why there is no newer of it; `readAt` is this machine's time, in milliseconds. */
export type Health = {
  about: About | null
  aboutError: string | null
  standing: Standing | null
  standingError: string | null
  readAt: number
}

const EVERY_MS = 5_000
const NOTHING: Health = { about: null, aboutError: null, standing: null, standingError: null, readAt: 0 }

export function useHealth() {
  const [health, setHealth] = useState(NOTHING)
  const isReading = useRef(false)

  const read = useCallback(async () => {
    if (isReading.current || document.hidden) return
    isReading.current = true
    const [about, standing] = await Promise.all([client.query(AboutDocument, {}), client.query(StandingDocument, {})])
    isReading.current = false
    setHealth((held) => ({
      about: about.data?.service ?? held.about,
      aboutError: about.error ? sentence(about.error) : null,
      standing: standing.data?.service ?? held.standing,
      standingError: standing.error ? sentence(standing.error) : null,
      readAt: about.data ? Date.now() : held.readAt,
    }))
  }, [])

  useEffect(() => {
    void setClock()
    void read()
    const timer = setInterval(read, EVERY_MS)
    document.addEventListener('visibilitychange', read)
    return () => {
      clearInterval(timer)
      document.removeEventListener('visibilitychange', read)
    }
  }, [read])

  return { health, read }
}
