-- Asks for transactions of a seeded database, all over it. ROWS: how many it has.
local rows = tonumber(os.getenv("ROWS"))

function init() math.randomseed(os.time()) end

function request()
  local n = math.random(1, rows)
  -- The ids of seed.ts.
  return wrk.format("GET", string.format("/v1/transactions/%08x-%d", (n * 48271) % 2147483647, n))
end
