-- Posts a webhook under an id of its own each time. IDS: random or sequential; SALT: of this run.
local ids, salt = os.getenv("IDS"), os.getenv("SALT")
local headers = { ["Content-Type"] = "application/json" }
local tail = '", "source_account": "A123", "destination_account": "B456", "amount": 100, "currency": "USD"}'
local n, refused = 0, 0

function init() math.randomseed(tonumber(salt)) end

function request()
  n = n + 1
  local id
  if ids == "random" then
    id = string.format("%08x%08x-%s-%d", math.random(0, 2147483646), math.random(0, 2147483646), salt, n)
  else
    id = string.format("sequential-%s-%010d", salt, n)
  end
  return wrk.format("POST", "/webhook", headers, '{"transaction_id": "' .. id .. tail)
end
