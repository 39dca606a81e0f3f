-- Stands before the rest where a route cannot tell whether weft would take a request. It is left out elsewhere, since each
-- request that it is asked about costs Envoy more than any other part of the fallback.

-- is_param tells whether a parameter is in the one spelling that weft takes.
local is_param = {
  int64 = function(s)
    if s ~= "0" and not s:find("^%-?[1-9]%d*$") then return false end
    local digits = s:gsub("^%-", "")
    local largest = s:sub(1, 1) == "-" and "9223372036854775808" or "9223372036854775807"
    return #digits < #largest or (#digits == #largest and digits <= largest)
  end,
  string = function(s) return s:find("^[%w%-._~]+$") ~= nil and s ~= "." and s ~= ".." end,
  objectid = function(s) return #s == 24 and s:find("^[0-9a-f]+$") ~= nil end,
  uuid = function(s)
    return s:gsub("[0-9a-f]", "0") == "00000000-0000-0000-0000-000000000000"
  end,
}

-- has_param tells whether a parameter is in a query once, and as a rule wants it.
local function has_param(query, name, kind, fixed)
  local found, value = 0, nil
  for pair in (query .. "&"):gmatch("([^&]*)&") do
    local n, v = pair:match("^([^=]*)=?(.*)$")
    if n == name then found, value = found + 1, v end
  end
  if found ~= 1 then return false end
  if kind then return is_param[kind](value) end
  return value == fixed
end

-- is_under tells whether weft would take a request for one of a rule, to whose route it has come.
local function is_under(rule, method, path)
  if method ~= "GET" then return false end
  local i = 0
  for part in path:match("^[^?]*"):gmatch("/([^/]*)") do
    i = i + 1
    local segment = rule.segments[i]
    if not segment then return false end
    local prefix, kind, suffix = segment[1], segment[2], segment[3]
    local param = part:sub(#prefix + 1, #part - #suffix)
    if part ~= prefix .. param .. suffix then return false end
    if kind and not is_param[kind](param) or not kind and param ~= "" then return false end
  end
  for _, q in ipairs(rule.query or {}) do
    if not has_param(path:match("%?(.*)$") or "", q[1], q[2], q[3]) then return false end
  end
  return i == #rule.segments
end

function envoy_on_request(request)
  local headers = request:headers()
  local rule = rules[request:filterContext():get("rule")]
  if rule and is_under(rule, headers:get(":method"), headers:get(":path")) then
    request:streamInfo():dynamicMetadata():set("weft.fallback", "enriched", true)
  end
end

