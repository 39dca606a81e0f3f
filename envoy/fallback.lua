-- Keeps the composite shape of a rule while weft is down. weft marks every response that it has seen with x-weft; what
-- comes without that mark, on the route of a rule, becomes a composite here, with no extension. The generated table
-- "rules" stands before this text; the route says which of them is its own.

-- after_string returns the position after the JSON string that begins at i, or nil.
local function after_string(s, i)
  while true do
    i = s:find('["\\%c]', i + 1)
    if not i then return nil end
    local c = s:byte(i)
    if c == 34 then
      return i + 1
    elseif c == 92 then
      if s:find('^u%x%x%x%x', i + 1) then i = i + 5
      elseif s:find('^["\\/bfnrt]', i + 1) then i = i + 1
      else return nil end
    elseif c < 32 then
      return nil
    end
  end
end

local function skip_space(s, i)
  return s:find("[^ \t\r\n]", i) or #s + 1
end

-- unescape returns the text of a name. Beyond ASCII an escape is left out: rules name their members without.
local function unescape(name)
  local plain = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
  return (name:gsub("\\(.)(%x?%x?%x?%x?)", function(c, digits)
    if c ~= "u" then return (plain[c] or c) .. digits end
    local code = tonumber(digits, 16)
    return code < 128 and string.char(code) or ""
  end))
end

-- after_value returns the position after the JSON value that begins at i, or nil. members, if given, gets the text of
-- the values of its names.
local function after_value(s, i, depth, members)
  local c = s:sub(i, i)
  if c == '"' then
    return after_string(s, i)
  elseif c == "{" or c == "[" then
    if depth > 1000 then return nil end
    local close = c == "{" and "}" or "]"
    i = skip_space(s, i + 1)
    if s:sub(i, i) == close then return i + 1 end
    while true do
      local name
      if c == "{" then
        if s:sub(i, i) ~= '"' then return nil end
        local after_name = after_string(s, i)
        if not after_name then return nil end
        name = unescape(s:sub(i + 1, after_name - 2))
        i = skip_space(s, after_name)
        if s:sub(i, i) ~= ":" then return nil end
        i = skip_space(s, i + 1)
      end
      local after = after_value(s, i, depth + 1)
      if not after then return nil end
      if members and members[name] ~= nil then members[name] = s:sub(i, after - 1) end
      i = skip_space(s, after)
      local d = s:sub(i, i)
      if d == close then return i + 1 end
      if d ~= "," then return nil end
      i = skip_space(s, i + 1)
    end
  elseif s:find("^true", i) or s:find("^null", i) then
    return i + 4
  elseif s:find("^false", i) then
    return i + 5
  end
  local after = s:match("^%-?0()", i) or s:match("^%-?[1-9]%d*()", i)
  if not after then return nil end
  after = s:match("^%.%d+()", after) or after
  return s:match("^[eE][+-]?%d+()", after) or after
end

local utf8_sequences = {
  "^[\194-\223][\128-\191]()", "^\224[\160-\191][\128-\191]()", "^[\225-\236\238\239][\128-\191][\128-\191]()",
  "^\237[\128-\159][\128-\191]()", "^\240[\144-\191][\128-\191][\128-\191]()",
  "^[\241-\243][\128-\191][\128-\191][\128-\191]()", "^\244[\128-\143][\128-\191][\128-\191]()",
}

local function is_utf8(s)
  local i = s:find("[\128-\255]")
  while i do
    local after
    for _, sequence in ipairs(utf8_sequences) do
      after = after or s:match(sequence, i)
    end
    if not after then return false end
    i = s:find("[\128-\255]", after)
  end
  return true
end

-- is_a tells of the text of a valid value, or "", whether it is of a type.
local is_a = {
  any = function(text) return text ~= "" end,
  array = function(text) return text:sub(1, 1) == "[" end,
  bool = function(text) return text == "true" or text == "false" end,
  number = function(text) return text:find("^[%-%d]") ~= nil end,
  object = function(text) return text:sub(1, 1) == "{" end,
  string = function(text) return text:sub(1, 1) == '"' end,
  int64 = function(text)
    if text:find("^%-?%d+$") then return true end
    local fraction = text:match("^%-?%d+%.(%d+)$")
    if fraction then return fraction:find("^0+$") ~= nil end
    local n = text:find("^%-?%d") and tonumber(text)
    return n ~= nil and n % 1 == 0
  end,
}

-- trim leaves out a byte order mark, and white space at both ends. It looks at each byte once: a pattern would take
-- a worker of Envoy for minutes over a body full of spaces.
local function trim(s)
  local first = s:sub(1, 3) == "\239\187\191" and 4 or 1
  first = skip_space(s, first)
  local last = #s
  while last >= first and s:find("^[ \t\r\n]", last) do last = last - 1 end
  return s:sub(first, last)
end

-- core_of returns the core in a body, or nil.
local function core_of(rule, body)
  body = trim(body)
  local members = {}
  for name in pairs(rule.core) do members[name] = "" end
  if body:sub(1, 1) ~= "{" or after_value(body, 1, 1, members) ~= #body + 1 or not is_utf8(body) then return nil end
  for name, kind in pairs(rule.core) do
    if not is_a[kind](members[name]) then return nil end
  end
  return body
end

function envoy_on_response(response)
  local headers = response:headers()
  if headers:get("x-weft") then return end
  if envoy_on_request then
    if not response:streamInfo():dynamicMetadata():get("weft.fallback") then return end
  elseif not headers:get("x-envoy-upstream-service-time") then
    return -- Envoy's router has it on each answer of the legacy service; what a filter before this one has answered is that filter's
  end
  local rule = rules[response:filterContext():get("rule")]
  local status = tonumber(headers:get(":status"))
  local legacy_answered = status >= 200 and status < 300 and status ~= 206
  if not legacy_answered and status < 500 and not (status == 404 and rule.degrade_not_found) then return end
  -- What is over the buffer cannot be wrapped, and what is encoded cannot be read.
  if tonumber(headers:get("content-length") or 0) > rule.limit then return end

  local body = response:body(true)
  if body:length() > rule.limit then return end
  local core
  headers = response:headers() -- the one from before is not valid after waiting for the body
  local encoding = headers:get("content-encoding") or "identity"
  if legacy_answered and encoding:lower() == "identity" then
    core = core_of(rule, tostring(body:getBytes(0, body:length())))
  end
  local answer, code = rule.both_failed, "503"
  if core then
    answer, code = rule.head .. core .. rule.tail, "200"
  end
  for _, name in ipairs({ "content-encoding", "etag", "last-modified", "accept-ranges", "content-md5", "digest",
    "content-digest", "repr-digest" }) do
    headers:remove(name)
  end
  headers:replace(":status", code)
  headers:replace("content-type", "application/json")
  headers:replace("cache-control", "no-store")
  headers:replace("x-weft", "degraded; reason=weft-unavailable")
  headers:replace("content-length", tostring(body:setBytes(answer)))
end
