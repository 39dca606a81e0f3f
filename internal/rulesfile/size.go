package rulesfile

import (
	"errors"
	"regexp"
	"strconv"
)

// ParseSize returns a size such as 512KiB or 64MiB in bytes.
func ParseSize(text string) (bytes int, err error) {
	match := regexp.MustCompile(`^([1-9][0-9]{0,5})(KiB|MiB)$`).FindStringSubmatch(text)
	if match == nil {
		return 0, errors.New("want a size such as 512KiB or 64MiB")
	}
	bytes, err = strconv.Atoi(match[1])
	return bytes << map[string]int{"KiB": 10, "MiB": 20}[match[2]], err
}
