-- Preserves the composite shape of a rule while weft is down. weft sets x-weft in each response that it processes. A
-- response without x-weft, to a request for which weft would have returned a composite, becomes a composite here, with
-- null for the extensions. If the rule has a cache, a 304 without x-weft becomes a 503: it is the response to conditions
-- of a weft that has ended since, not to those of the client. Four generated tables precede this text: rules, order,
-- conditions and body_headers. A route that weft generated has the name of its rule in its filter context.

-- is_param[type](s) reports whether weft accepts a parameter in this spelling.
local is_param = {
  int64 = function(s)
    if s ~= "0" and not s:find("^%-?[1-9]%d*$") then return false end
    if #s < 19 then return true end
    local digits = s:gsub("^%-", "")
    local largest = s:sub(1, 1) == "-" and "9223372036854775808" or "9223372036854775807"
    return #digits < #largest or (#digits == #largest and digits <= largest)
  end,
  string = function(s) return s:find("^[%w%-._~]+$") ~= nil and s ~= "." and s ~= ".." end,
  objectid = function(s) return #s == 24 and s:find("^%x+$") ~= nil end,
  uuid = function(s) return s:gsub("%x", "0") == "00000000-0000-0000-0000-000000000000" end,
}
for _, order in ipairs({ "csharp", "java", "python" }) do is_param["uuid-" .. order] = is_param.uuid end

-- has_param reports whether a query has a parameter once, with a value that the rule accepts.
local function has_param(query, param)
  local found, value = 0, nil
  for pair in (query .. "&"):gmatch("([^&]*)&") do
    local n, v = pair:match("^([^=]*)=?(.*)$")
    if n == param.name then found, value = found + 1, v end
  end
  if found ~= 1 then return false end
  if param.type then return is_param[param.type](value) end
  return value == param.value
end

-- has_host reports whether an authority, without its port, matches the host of a rule, which is in lower case.
local function has_host(host, authority)
  authority = authority:lower()
  if not authority:find("%]$") then authority = authority:gsub(":[^:]*$", "") end
  if host:sub(1, 1) ~= "*" then return authority == host end
  local suffix = host:sub(2)
  return #authority > #suffix and authority:sub(-#suffix) == suffix
end

-- matches reports whether weft applies a rule to a request. The route of the rule is not sufficient: for example, its
-- regular expression cannot test whether a number fits in 64 bits.
local function matches(rule, target)
  local path, query = target:match("^([^?]*)%??(.*)$")
  local params = { path:match(rule.path) }
  if not params[1] then return false end
  for i, kind in ipairs(rule.params) do
    if not is_param[kind](params[i]) then return false end
  end
  for _, param in ipairs(rule.query) do
    if not has_param(query, param) then return false end
  end
  return true
end

-- rule_for returns the rule that weft applies to a request, or nil. On a route that weft did not generate ("*"), it is
-- the first rule that matches.
local function rule_for(request, headers)
  local name, target = request:filterContext():get("rule"), headers:get(":path")
  if name ~= "*" then
    local rule = rules[name]
    return rule and matches(rule, target) and rule
  end
  for _, listed in ipairs(order) do
    local rule = rules[listed]
    if rule.methods[headers:get(":method")] and (not rule.host or has_host(rule.host, headers:get(":authority")))
      and matches(rule, target) then
      return rule
    end
  end
end

-- Like weft, the script requests a complete body without an encoding from the legacy service: a partial or encoded body
-- cannot be wrapped. An unsafe request keeps its conditions. weft evaluates the condition of a GET itself, so it gets
-- it in another header, which the route removes.
function envoy_on_request(request)
  local headers = request:headers()
  local rule = rule_for(request, headers)
  if not rule or not rule.runs or headers:get("upgrade") then return end
  headers:replace("accept-encoding", "identity")
  local method = headers:get(":method")
  if method ~= "GET" and method ~= "HEAD" then return end
  local if_none_match = headers:get("if-none-match")
  if if_none_match then headers:replace("x-weft-if-none-match", if_none_match) end
  for _, name in ipairs(conditions) do
    headers:remove(name)
  end
  if method == "GET" then
    request:streamInfo():dynamicMetadata():set("weft.fallback", "rule", rule.name)
  end
end

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

-- unescape returns the text of a name. Escapes beyond ASCII are dropped: names in rules do not contain them.
local function unescape(name)
  local plain = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
  return (name:gsub("\\(.)(%x?%x?%x?%x?)", function(c, digits)
    if c ~= "u" then return (plain[c] or c) .. digits end
    local code = tonumber(digits, 16)
    return code < 128 and string.char(code) or ""
  end))
end

-- after_value returns the position after the JSON value that begins at i, or nil. If members is given, the values of
-- its names are replaced by those in the object, as text.
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

-- is_a[type](text) reports whether a valid JSON value, or "" for a missing one, has a type.
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

-- trim removes a byte order mark, and surrounding white space. It reads each byte once: a pattern would block a worker
-- of Envoy for minutes on a body full of spaces.
local function trim(s)
  local first = s:sub(1, 3) == "\239\187\191" and 4 or 1
  first = skip_space(s, first)
  local last = #s
  while last >= first and s:find("^[ \t\r\n]", last) do last = last - 1 end
  return s:sub(first, last)
end

-- core_of returns the core in a body, or nil if the body is not one.
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

-- replace replaces the response by one that must not be cached.
local function replace(headers, body, rule, code, answer)
  for _, name in ipairs(body_headers) do
    headers:remove(name)
  end
  headers:replace(":status", code)
  headers:replace("content-type", rule.content_type)
  headers:replace("cache-control", "no-store")
  headers:replace("x-weft", "degraded; reason=weft-unavailable")
  headers:replace("content-length", tostring(body:setBytes(answer)))
end

function envoy_on_response(response)
  local headers = response:headers()
  local matched = response:streamInfo():dynamicMetadata():get("weft.fallback")
  if headers:get("x-weft") or not matched then return end
  local rule = rules[matched.rule]
  local status = tonumber(headers:get(":status"))
  if rule.validates and status == 304 then
    local body = response:body(true)
    replace(response:headers(), body, rule, "503", rule.both_failed)
    return
  end
  if not rule.fallback then return end
  local legacy_answered = status >= 200 and status < 300 and status ~= 206
  if not legacy_answered and status < 500 and not (status == 404 and rule.degrade_not_found) then return end
  -- A body that is larger than Envoy's buffer cannot be wrapped.
  if tonumber(headers:get("content-length") or 0) > rule.limit then return end

  local body = response:body(true)
  if body:length() > rule.limit then return end
  local core
  headers = response:headers() -- the earlier object is invalid after the wait for the body
  local encoding = headers:get("content-encoding") or "identity"
  if legacy_answered and encoding:lower() == "identity" then
    core = core_of(rule, tostring(body:getBytes(0, body:length())))
  end
  if not core and not rule.degrade and status ~= 404 then return end
  local answer, code = rule.both_failed, "503"
  if core then
    answer, code = rule.head .. core .. rule.tail, tostring(status)
  end
  replace(headers, body, rule, code, answer)
end
