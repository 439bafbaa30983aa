#include "process/expression_syntax.h"

#include <charconv>
#include <cmath>
#include <utility>

#include "base/text.h"

namespace tidemill::process {
namespace {

using Kind = SyntaxNode::Kind;

bool is_letter(char c) {
  // Bytes of UTF-8 beyond ASCII may stand in names.
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

struct Token {
  enum Type { kEnd, kName, kQuotedName, kNumber, kText, kSymbol } type = kEnd;
  std::string text;  // of kName and kSymbol as they stand; the contents of quoted ones
  size_t column = 1;
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Result<Token> next() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      step();
    }
    Token token;
    token.column = column_;
    if (at_ == text_.size()) return token;
    char c = text_[at_];
    if (is_letter(c)) return name(std::move(token));
    if (is_digit(c) || (c == '.' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1])))
      return number(std::move(token));
    if (c == '\'' || c == '"') return quoted(std::move(token), c);
    return symbol(std::move(token));
  }

 private:
  // Characters, not bytes, are counted: continuation bytes are not.
  void step() {
    ++at_;
    if (at_ >= text_.size() || (static_cast<unsigned char>(text_[at_]) & 0xc0) != 0x80) ++column_;
  }
  void take(Token* token) {
    token->text += text_[at_];
    step();
  }

  Result<Token> name(Token token) {
    token.type = Token::kName;
    // A dot goes on with a member's name: complexData.moreData7.
    while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]) || is_dot_in_name()))
      take(&token);
    return token;
  }
  bool is_dot_in_name() const {
    return text_[at_] == '.' && at_ + 1 < text_.size() &&
           (is_letter(text_[at_ + 1]) || is_digit(text_[at_ + 1]));
  }

  Result<Token> number(Token token) {
    token.type = Token::kNumber;
    while (at_ < text_.size()) {
      char c = text_[at_];
      bool sign_of_exponent =
          (c == '+' || c == '-') && (token.text.back() == 'e' || token.text.back() == 'E');
      if (!is_digit(c) && c != '.' && !is_letter(c) && !sign_of_exponent) break;
      take(&token);
    }
    return token;
  }

  // 'it''s' is text, "odd name" is a field; the quote itself is doubled.
  Result<Token> quoted(Token token, char quote) {
    token.type = quote == '"' ? Token::kQuotedName : Token::kText;
    step();
    for (;;) {
      if (at_ == text_.size()) {
        return expression_error(token.column, std::string("the closing ") + quote + " is missing");
      }
      if (text_[at_] == quote) {
        step();
        if (at_ == text_.size() || text_[at_] != quote) return token;
      }
      take(&token);
    }
  }

  Result<Token> symbol(Token token) {
    token.type = Token::kSymbol;
    for (std::string_view two : {"<=", ">=", "<>", "!=", "=="}) {
      if (text_.substr(at_, 2) == two) {
        take(&token);
        take(&token);
        return token;
      }
    }
    if (std::string_view("()=<>+-*/,").find(text_[at_]) == std::string_view::npos) {
      return expression_error(token.column,
                              std::string("unexpected ") + text_[at_] +
                                  "; operators are and or not = <> < <= > >= + - * / is in like");
    }
    take(&token);
    return token;
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t column_ = 1;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}

  Result<SyntaxTree> all() {
    TM_TRY(advance());
    TM_ASSIGN(SyntaxTree tree, disjunction());
    if (token_.type != Token::kEnd)
      return expression_error(token_.column, "expected the end or an operator, found " + found());
    return tree;
  }

 private:
  // One level of nesting, for the time of a call.
  class Deeper {
   public:
    explicit Deeper(int* depth) : depth_(depth) { ++*depth_; }
    ~Deeper() { --*depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    int* depth_;
  };

  Status advance() {
    TM_ASSIGN(token_, lexer_.next());
    return {};
  }
  bool is_word(std::string_view word) const {
    return token_.type == Token::kName && to_lower(token_.text) == word;
  }
  bool is_symbol(std::string_view symbol) const {
    return token_.type == Token::kSymbol && token_.text == symbol;
  }
  std::string found() const { return token_.type == Token::kEnd ? "the end" : "\"" + token_.text + "\""; }
  Status expect(std::string_view symbol) {
    if (!is_symbol(symbol))
      return expression_error(token_.column, "expected " + std::string(symbol) + ", found " + found());
    return advance();
  }

  static SyntaxTree make(Kind kind, size_t column) {
    auto node = std::make_unique<SyntaxNode>();
    node->kind = kind;
    node->column = column;
    return node;
  }
  template <class... Children>
  static SyntaxTree make(Kind kind, size_t column, Children... children) {
    SyntaxTree node = make(kind, column);
    (node->children.push_back(std::move(children)), ...);
    return node;
  }

  Result<SyntaxTree> disjunction() {
    Deeper deeper(&depth_);
    if (depth_ > kMaxExpressionDepth) return expression_error(token_.column, "nested too deep");
    TM_ASSIGN(SyntaxTree left, conjunction());
    int terms = 0;
    while (is_word("or")) {
      TM_TRY(one_more(&terms));
      size_t column = token_.column;
      TM_TRY(advance());
      TM_ASSIGN(SyntaxTree right, conjunction());
      left = make(Kind::kOr, column, std::move(left), std::move(right));
    }
    return left;
  }

  Result<SyntaxTree> conjunction() {
    TM_ASSIGN(SyntaxTree left, negation());
    int terms = 0;
    while (is_word("and")) {
      TM_TRY(one_more(&terms));
      size_t column = token_.column;
      TM_TRY(advance());
      TM_ASSIGN(SyntaxTree right, negation());
      left = make(Kind::kAnd, column, std::move(left), std::move(right));
    }
    return left;
  }

  Result<SyntaxTree> negation() {
    if (!is_word("not")) return comparison();
    Deeper deeper(&depth_);
    if (depth_ > kMaxExpressionDepth) return expression_error(token_.column, "nested too deep");
    size_t column = token_.column;
    TM_TRY(advance());
    TM_ASSIGN(SyntaxTree operand, negation());
    return make(Kind::kNot, column, std::move(operand));
  }

  Result<SyntaxTree> comparison() {
    TM_ASSIGN(SyntaxTree left, sum());
    static constexpr std::pair<std::string_view, Kind> kComparisons[] = {
        {"=", Kind::kEqual}, {"==", Kind::kEqual},     {"<>", Kind::kUnequal}, {"!=", Kind::kUnequal},
        {"<", Kind::kLess},  {"<=", Kind::kLessEqual}, {">", Kind::kGreater},  {">=", Kind::kGreaterEqual}};
    for (const auto& [symbol, kind] : kComparisons) {
      if (!is_symbol(symbol)) continue;
      size_t column = token_.column;
      TM_TRY(advance());
      TM_ASSIGN(SyntaxTree right, sum());
      return make(kind, column, std::move(left), std::move(right));
    }
    if (is_word("is")) return is_null(std::move(left));
    size_t column = token_.column;
    bool negated = is_word("not");
    if (negated) TM_TRY(advance());
    if (is_word("in") || is_word("like")) {
      bool like = is_word("like");
      TM_TRY(advance());
      auto made = like ? like_text(std::move(left), column) : in_list(std::move(left), column);
      if (!made.ok() || !negated) return made;
      return make(Kind::kNot, column, std::move(made).value());
    }
    if (negated) return expression_error(token_.column, "expected in or like after not, found " + found());
    return left;
  }

  Result<SyntaxTree> is_null(SyntaxTree operand) {
    size_t column = token_.column;
    TM_TRY(advance());
    bool negated = is_word("not");
    if (negated) TM_TRY(advance());
    if (!is_word("null"))
      return expression_error(token_.column, "expected null or not null after is, found " + found());
    TM_TRY(advance());
    SyntaxTree test = make(Kind::kIsNull, column, std::move(operand));
    return negated ? make(Kind::kNot, column, std::move(test)) : std::move(test);
  }

  Result<SyntaxTree> in_list(SyntaxTree operand, size_t column) {
    SyntaxTree in = make(Kind::kIn, column, std::move(operand));
    TM_TRY(expect("("));
    for (;;) {
      TM_ASSIGN(SyntaxTree item, sum());
      in->children.push_back(std::move(item));
      if (!is_symbol(",")) break;
      TM_TRY(advance());
    }
    TM_TRY(expect(")"));
    return in;
  }

  Result<SyntaxTree> like_text(SyntaxTree operand, size_t column) {
    if (token_.type != Token::kText) {
      return expression_error(token_.column,
                              "expected a text such as 'contoso%' after like, found " + found());
    }
    SyntaxTree pattern = make(Kind::kText, token_.column);
    pattern->text = token_.text;
    TM_TRY(advance());
    return make(Kind::kLike, column, std::move(operand), std::move(pattern));
  }

  Result<SyntaxTree> sum() {
    TM_ASSIGN(SyntaxTree left, product());
    int terms = 0;
    while (is_symbol("+") || is_symbol("-")) {
      TM_TRY(one_more(&terms));
      Kind kind = is_symbol("+") ? Kind::kAdd : Kind::kSubtract;
      size_t column = token_.column;
      TM_TRY(advance());
      TM_ASSIGN(SyntaxTree right, product());
      left = make(kind, column, std::move(left), std::move(right));
    }
    return left;
  }

  Result<SyntaxTree> product() {
    TM_ASSIGN(SyntaxTree left, factor());
    int terms = 0;
    while (is_symbol("*") || is_symbol("/")) {
      TM_TRY(one_more(&terms));
      Kind kind = is_symbol("*") ? Kind::kMultiply : Kind::kDivide;
      size_t column = token_.column;
      TM_TRY(advance());
      TM_ASSIGN(SyntaxTree right, factor());
      left = make(kind, column, std::move(left), std::move(right));
    }
    return left;
  }

  Result<SyntaxTree> factor() {
    Deeper deeper(&depth_);
    if (depth_ > kMaxExpressionDepth) return expression_error(token_.column, "nested too deep");
    size_t column = token_.column;
    if (is_symbol("-")) {
      TM_TRY(advance());
      if (token_.type == Token::kNumber) return number(column, "-");
      TM_ASSIGN(SyntaxTree operand, factor());
      return make(Kind::kNegate, column, std::move(operand));
    }
    if (is_symbol("(")) {
      TM_TRY(advance());
      TM_ASSIGN(SyntaxTree inside, disjunction());
      TM_TRY(expect(")"));
      return inside;
    }
    return atom();
  }

  Result<SyntaxTree> atom() {
    size_t column = token_.column;
    switch (token_.type) {
      case Token::kNumber:
        return number(column, "");
      case Token::kText:
      case Token::kQuotedName:
        return leaf(token_.type == Token::kText ? Kind::kText : Kind::kField);
      case Token::kName:
        for (const auto& [word, kind] : {std::pair{"true", Kind::kTrue}, std::pair{"false", Kind::kFalse},
                                         std::pair{"null", Kind::kNull}}) {
          if (is_word(word)) return leaf(kind);
        }
        for (const char* word : {"and", "or", "not", "is", "in", "like"}) {
          if (is_word(word)) return expression_error(column, "expected a value before " + token_.text);
        }
        return leaf(Kind::kField);
      case Token::kEnd:
      case Token::kSymbol:
        break;
    }
    return expression_error(column, "expected a field, a number or a text, found " + found());
  }

  Result<SyntaxTree> leaf(Kind kind) {
    SyntaxTree node = make(kind, token_.column);
    node->text = token_.text;
    TM_TRY(advance());
    return node;
  }

  Result<SyntaxTree> number(size_t column, const std::string& sign) {
    SyntaxTree node = make(Kind::kInteger, column);
    std::string text = sign + token_.text;
    const char* end = text.data() + text.size();
    auto integer = std::from_chars(text.data(), end, node->integer);
    if (integer.ec != std::errc() || integer.ptr != end) {
      node->kind = Kind::kNumber;
      auto number = std::from_chars(text.data(), end, node->number);
      if (number.ec != std::errc() || number.ptr != end || !std::isfinite(node->number)) {
        return expression_error(column, text + " is not a number");
      }
    }
    TM_TRY(advance());
    return node;
  }

  // Chains of equal operators grow the tree to the left as well.
  Status one_more(int* terms) {
    if (++*terms > kMaxChain) return expression_error(token_.column, "too many terms; use in (…)");
    return {};
  }

  static constexpr int kMaxChain = 1000;

  Lexer lexer_;
  Token token_;
  int depth_ = 0;
};

}  // namespace

Error expression_error(size_t column, const std::string& what) {
  return user_error("column " + std::to_string(column) + ": " + what);
}

Result<SyntaxTree> parse_expression(std::string_view text) {
  if (text.size() > kMaxExpressionBytes) {
    return user_error("an expression has at most " + std::to_string(kMaxExpressionBytes) + " bytes");
  }
  return Parser(text).all();
}

}  // namespace tidemill::process
