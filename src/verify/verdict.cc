// The verdict in words and as JSON.
#include <simdjson.h>

#include <cmath>
#include <cstdio>

#include "verify/verify.h"

namespace tidemill::verify {
namespace {

std::string fixed(double value, int digits) {
  char buffer[64];
  snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  return buffer;
}

std::string json_text(const std::string& text) {
  bool utf8 = simdjson::validate_utf8(text.data(), text.size());
  std::string out = "\"";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out.append({'\\', c});
    else if (byte < 0x20) {
      char buffer[8];
      snprintf(buffer, sizeof buffer, "\\u%04x", byte);
      out += buffer;
    } else
      out.push_back(byte >= 0x80 && !utf8 ? '?' : c);
  }
  return out + '"';
}

std::string json_list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? "," : "") + json_text(text);
  return out + "]";
}

std::string json_number(const std::optional<double>& value, int digits) {
  return value && std::isfinite(*value) ? fixed(*value, digits) : "null";
}

std::string json_quantiles(const std::optional<Quantiles>& q) {
  auto member = [&](const char* name, double Quantiles::*at) {
    return "\"" + std::string(name) + "\":" + (q ? fixed((*q).*at, 3) : "null");
  };
  return "{" + member("p50", &Quantiles::p50) + "," + member("p99", &Quantiles::p99) + "," +
         member("p99_9", &Quantiles::p99_9) + "," + member("max", &Quantiles::max) + "}";
}

std::string grouped(uint64_t value) {
  std::string digits = std::to_string(value);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

class Table {
 public:
  void row(const std::string& name, const std::string& value, const std::string& remark = "") {
    out_ += "  " + name + std::string(name.size() < 28 ? 28 - name.size() : 1, ' ') +
            std::string(value.size() < 14 ? 14 - value.size() : 0, ' ') + value +
            (remark.empty() ? "" : "   " + remark) + "\n";
  }
  void line(const std::string& text) { out_ += text + "\n"; }
  void latency(const std::string& name, const std::optional<Quantiles>& q) {
    if (!q) return row(name, "-");
    row(name, fixed(q->p50, 1) + " ms",
        "p50;  p99 " + fixed(q->p99, 1) + "  p99.9 " + fixed(q->p99_9, 1) + "  max " + fixed(q->max, 1));
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

void reference_rows(const ReferenceResult& r, Table* table) {
  table->row("best minute, events/s", r.events_per_second ? fixed(*r.events_per_second, 1) : "-");
  table->row("best minute, mean latency", r.latency_ms ? fixed(*r.latency_ms, 1) + " ms" : "-");
  table->row("ids that occur twice", grouped(r.duplicates));
  table->row("out of sequence", grouped(r.out_of_sequence));
  table->row("missing (gaps)", grouped(r.missing));
}

}  // namespace

std::string to_table(const Verdict& v) {
  Table table;
  if (v.reference) {
    table.line("Verification by the reference's rules");
    table.row("rows", grouped(v.stored));
    reference_rows(*v.reference, &table);
  } else {
    table.line("Verification: every event against what was sent");
    table.row("expected", grouped(v.expected), "rows that the store must hold");
    table.row("stored", grouped(v.stored), "rows that it holds");
    table.row("lost", grouped(v.lost));
    table.row("duplicated", grouped(v.duplicated), "beyond what is expected");
    table.row("unexpected", grouped(v.unexpected));
    table.row("altered", grouped(v.altered));
    table.row("out of order", grouped(v.out_of_order), "against the order of acceptance");
    table.row("dead letters", grouped(v.dead_letters), grouped(v.dead_letters_expected) + " expected");
    table.row("copies sent on purpose", grouped(v.copies_sent));
    table.row("dropped on purpose", grouped(v.dropped));
    table.row("in doubt", grouped(v.in_doubt), grouped(v.in_doubt_stored) + " of them stored");
    table.row("events/s, whole run", v.events_per_second ? fixed(*v.events_per_second, 1) : "-");
    table.row("events/s, lowest minute",
              v.lowest_minute_per_second ? fixed(*v.lowest_minute_per_second, 1) : "-");
    table.latency("created to stored", v.created_to_stored);
    table.latency("enqueued to stored", v.enqueued_to_stored);
  }
  for (const std::string& note : v.notes) table.line("  note: " + note);
  for (const std::string& why : v.why) table.line("  why: " + why);
  table.line(v.pass ? "Verdict: PASS" : "Verdict: FAIL");
  return table.take();
}

std::string to_json(const Verdict& v) {
  std::string out = "{\"verdict\":\"" + std::string(v.pass ? "PASS" : "FAIL") + "\"";
  auto count = [&](const char* name, uint64_t value) {
    out += ",\"" + std::string(name) + "\":" + std::to_string(value);
  };
  count("expected", v.expected);
  count("stored", v.stored);
  count("lost", v.lost);
  count("duplicated", v.duplicated);
  count("unexpected", v.unexpected);
  count("altered", v.altered);
  count("out_of_order", v.out_of_order);
  out += ",\"events_per_second\":" + json_number(v.events_per_second, 1);
  out += ",\"latency_ms\":" + json_quantiles(v.created_to_stored);
  out += ",\"latency_enqueued_ms\":" + json_quantiles(v.enqueued_to_stored);
  out += ",\"lowest_minute\":" + json_number(v.lowest_minute_per_second, 1);
  out += std::string(",\"rules\":\"") + (v.rules == Rules::kReference ? "reference" : "strict") + "\"";
  count("dead_letters", v.dead_letters);
  count("dead_letters_expected", v.dead_letters_expected);
  count("copies_sent", v.copies_sent);
  count("dropped", v.dropped);
  count("in_doubt", v.in_doubt);
  count("in_doubt_stored", v.in_doubt_stored);
  if (v.reference) {
    out += ",\"reference\":{\"events_per_second\":" + json_number(v.reference->events_per_second, 3) +
           ",\"latency_ms\":" + json_number(v.reference->latency_ms, 3) +
           ",\"duplicates\":" + std::to_string(v.reference->duplicates) +
           ",\"out_of_sequence\":" + std::to_string(v.reference->out_of_sequence) +
           ",\"missing\":" + std::to_string(v.reference->missing) + "}";
  }
  out += ",\"why\":" + json_list(v.why) + ",\"notes\":" + json_list(v.notes) + "}";
  return out;
}

}  // namespace tidemill::verify
