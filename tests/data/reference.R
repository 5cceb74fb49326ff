# Reference values of tests/unit/analysis/test_statistics.py: `Rscript tests/data/reference.R` prints them.
# Debian packages: r-base-core r-cran-lme4 r-cran-lmertest r-cran-nlme r-cran-sandwich.
options(digits = 9)
suppressMessages({ library(lme4); library(lmerTest); library(nlme); library(sandwich) })
show <- function(name, ...) cat(name, ":", format(c(...), digits = 9), "\n")

show("wilson 81 of 263", prop.test(81, 263, correct = FALSE)$conf.int)
show("wilson 0 of 33", prop.test(0, 33, correct = FALSE)$conf.int)
show("wilson 199 of 200", prop.test(199, 200, correct = FALSE)$conf.int)
# Agresti, Categorical Data Analysis (2002), table 10.1: approval of a prime minister, asked twice.
show("mcnemar 86 against 150", binom.test(86, 86 + 150)$p.value)
show("mcnemar 15 against 5", binom.test(15, 20)$p.value)
show("mcnemar 1 against 9", binom.test(1, 10)$p.value)
# Benjamini and Hochberg, J R Stat Soc B 57 (1995) 289-300, section 3.2.
p <- c(.0001, .0004, .0019, .0095, .0201, .0278, .0298, .0344, .0459, .3240, .4262, .5719, .6528,
       .7590, 1)
show("holm", p.adjust(p, "holm"))
show("BH", p.adjust(p, "BH"))

# Four runs of 30 questions: who is right follows from the numbers of question and run.
q <- rep(0:29, times = 4)
s <- rep(0:3, each = 30)
y <- as.numeric((7 * q + 3 * s + 2 * q * s + (q * q) %% 11) %% 10 < 2 + 2 * (q %% 4) + s)
crossed <- lmer(y ~ 1 + (1 | q) + (1 | s))
show("crossed", summary(crossed)$coefficients[1, ])
print(VarCorr(crossed))

# Five targets of 8, 12, ... 24 questions with scores of -1, 0 and 1, from seven source datasets.
sizes <- seq(8, 24, 4)
target <- rep(0:4, times = sizes)
i <- unlist(lapply(sizes, function(n) 0:(n - 1)))
d <- (5 * i + 3 * target + (i * i) %% 7) %% 3 - 1 + (target %% 3) / 2
dataset <- (i + target * target) %% 7
show("mixed model", summary(lme(d ~ 1, random = ~ 1 | target, method = "REML"))$tTable[1, 1:2])
fit <- lm(d ~ 1, weights = rep(1 / sizes, times = sizes))
error <- sqrt(vcovCL(fit, cluster = dataset, type = "HC1")[1, 1])
show("by datasets", coef(fit), error, coef(fit) + c(-1, 1) * qt(0.975, 6) * error)
