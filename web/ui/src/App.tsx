import { lazy, Suspense, useEffect, useRef } from 'react'
import { Link, Redirect, Route, Switch, useLocation } from 'wouter'
import { ConnectionBanner } from './api/ConnectionBanner'
import { useEra } from './api/connection'
import { Empty, Skeletons } from './kit/kit'
import { ThemeChoice } from './kit/ThemeChoice'
import { Toasts } from './kit/toasts'
import { SessionBanner } from './session/SessionBanner'
import { SymbolsPage } from './symbols/SymbolsPage'

const SymbolPage = lazy(() => import('./symbol/SymbolPage'))
const OnboardingPage = lazy(() => import('./onboarding/OnboardingPage'))
const PortfoliosPage = lazy(() => import('./portfolios/PortfoliosPage'))
const PortfolioPage = lazy(() => import('./portfolios/PortfolioPage'))
const SessionPage = lazy(() => import('./session/SessionPage'))
const ServicePage = lazy(() => import('./service/ServicePage'))

const PLACES = [
  ['/', 'Symbols'],
  ['/onboarding', 'Onboarding'],
  ['/portfolios', 'Portfolios'],
  ['/session', 'Session'],
  ['/service', 'Service'],
] as const

export function App() {
  return (
    <>
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <Header />
      <SessionBanner />
      <ConnectionBanner />
      <Main key={useEra()} />
      <Toasts />
    </>
  )
}

function Header() {
  const [path] = useLocation()
  const isHere = (place: string) => (place === '/' ? path === '/' || path.startsWith('/symbols') : path.startsWith(place))
  return (
    <header className="top">
      <Link href="/" className="brand">
        <img src="/favicon.svg" alt="" width="24" height="24" /> Freshtape
      </Link>
      <nav aria-label="Pages">
        {PLACES.map(([place, name]) => (
          <Link key={place} href={place} aria-current={isHere(place) ? 'page' : undefined}>
            {name}
          </Link>
        ))}
        <a href="/playground">Playground</a>
      </nav>
      <ThemeChoice />
    </header>
  )
}

/** A ticker as an address writes it: with its slash, or with that as %2F. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // a lone % is no code
  }
}

function Main() {
  const [path] = useLocation()
  const main = useRef<HTMLElement>(null)
  const shown = useRef(path)
  useEffect(() => {
    if (shown.current === path) return
    shown.current = path
    main.current?.focus() // a screen reader goes on where the new page begins
    scrollTo(0, 0)
  }, [path])
  return (
    <main id="main" ref={main} tabIndex={-1}>
      <Suspense fallback={<Skeletons label="Loading the page" number={1} height={320} />}>
        <Switch>
          <Route path="/" component={SymbolsPage} />
          <Route path="/symbols">
            <Redirect to="/" />
          </Route>
          <Route path="/symbols/*">{({ '*': ticker }) => <SymbolPage key={ticker} ticker={decoded(ticker)} />}</Route>
          <Route path="/onboarding" component={OnboardingPage} />
          <Route path="/portfolios" component={PortfoliosPage} />
          <Route path="/portfolios/:id">{({ id }) => <PortfolioPage key={id} id={decodeURIComponent(id)} />}</Route>
          <Route path="/session" component={SessionPage} />
          <Route path="/service" component={ServicePage} />
          <Route>
            <Empty title="There is no such page">
              <Link href="/">To the symbols</Link>
            </Empty>
          </Route>
        </Switch>
      </Suspense>
    </main>
  )
}
