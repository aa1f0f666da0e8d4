package nova

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Asks is what a server asks of a host beside room, as its flavor's extra specs and its
// image's properties tell it. Granular groups (resources1, trait1) count as one question to
// the whole host: that one provider must have all of a group is not looked at.
type Asks struct {
	// Required stand on the host or on anything below it, Forbidden not on the host itself.
	Required  []string `json:"required,omitempty"`
	Forbidden []string `json:"forbidden,omitempty"`
	// Image are those that its image of today requires; Nova goes by the image of its boot.
	Image []string `json:"image,omitempty"`
	// Classes is how much of each class of resources, without those that Size counts.
	Classes map[string]int `json:"classes,omitempty"`
	// Aggregates is what the metadata of its host's aggregates must say, where the operator
	// has Nova look at that (AggregateInstanceExtraSpecsFilter).
	Aggregates map[string]string `json:"aggregates,omitempty"`
}

// aggregateSpecs is the scope of extra specs that are about aggregates.
const aggregateSpecs = "aggregate_instance_extra_specs:"

// Asks reads them (nova/scheduler/utils.py, ResourceRequest). Nil where there are none.
func (s Server) Asks() Asks {
	var a Asks
	for key, word := range s.FlavorExtra {
		if trait, group, ok := asked(key, "trait"); ok {
			switch {
			case word == "required":
				a.Required = append(a.Required, trait)
			case word == "forbidden" && group == "": // another group's is about what stands below the host
				a.Forbidden = append(a.Forbidden, trait)
			}
		}
		if name, ok := strings.CutPrefix(key, aggregateSpecs); ok {
			if a.Aggregates == nil {
				a.Aggregates = map[string]string{}
			}
			a.Aggregates[name] = word
		}
	}
	for key, word := range s.ImageProperties {
		if trait, group, ok := asked(key, "trait"); ok && group == "" && word == "required" && !slices.Contains(a.Required, trait) {
			a.Image = append(a.Image, trait)
		}
	}
	for _, list := range []*[]string{&a.Required, &a.Forbidden, &a.Image} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	for class, n := range s.resources() {
		if n > 0 && !slices.Contains(counted, class) {
			if a.Classes == nil {
				a.Classes = map[string]int{}
			}
			a.Classes[class] = n
		}
	}
	return a
}

// counted are the classes of resources that Size has.
var counted = []string{"VCPU", "PCPU", "MEMORY_MB", "DISK_GB"}

// resources are the amounts that its flavor's extra specs name, over all groups.
func (s Server) resources() map[string]int {
	var out map[string]int
	for key, word := range s.FlavorExtra {
		n, err := strconv.Atoi(word)
		if class, _, ok := asked(key, "resources"); ok && err == nil {
			if out == nil {
				out = map[string]int{}
			}
			out[class] += n
		}
	}
	return out
}

// asked takes an extra spec such as trait:NAME or resources1:NAME apart.
func asked(key, kind string) (name, group string, ok bool) {
	rest, ok := strings.CutPrefix(key, kind)
	if !ok {
		return "", "", false
	}
	group, name, ok = strings.Cut(rest, ":")
	return name, group, ok && name != ""
}

// Words say it, in an order that stays the same.
func (a Asks) Words() []string {
	words := slices.Concat(a.Required, a.Image)
	for _, trait := range a.Forbidden {
		words = append(words, "not "+trait)
	}
	for _, class := range slices.Sorted(maps.Keys(a.Classes)) {
		words = append(words, fmt.Sprintf("%d of %s", a.Classes[class], class))
	}
	for _, key := range slices.Sorted(maps.Keys(a.Aggregates)) {
		words = append(words, "an aggregate with "+key+"="+a.Aggregates[key])
	}
	return words
}
